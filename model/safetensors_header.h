// Parsing of the two JSON texts of a safetensors checkpoint, event by event: a hostile header costs no more memory than
// its limits allow. Text rules only (types, duplicates, counts); what the numbers mean is checked by the checkpoint.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/checkpoint.h"

namespace headroom::model {

struct HeaderEntry {
  std::string name;
  StoredType type = StoredType::kF32;
  std::vector<int64_t> shape;
  int64_t begin = 0, end = 0;  // in the data part of the file
};

// INVALID_ARGUMENT starts with `file`.
absl::StatusOr<std::vector<HeaderEntry>> ParseSafetensorsHeader(const std::string& file, const std::string& text,
                                                                const CheckpointLimits& limits);

// weight_map of an index: tensor name → shard file name (a plain file name that ends in .safetensors).
absl::StatusOr<std::map<std::string, std::string>> ParseSafetensorsIndex(const std::string& file,
                                                                         const std::string& text,
                                                                         const CheckpointLimits& limits);

}  // namespace headroom::model
