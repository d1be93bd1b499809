// Which files of a model directory hold its weights.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/checkpoint.h"

namespace headroom::model {

inline constexpr char kIndexFile[] = "model.safetensors.index.json";

struct CheckpointFiles {
  std::vector<std::string> names;  // plain file names, sorted
  // Tensor → file, where an index decides. A file may hold more: copies that another file replaces, leftovers.
  std::optional<std::map<std::string, std::string>> index;
};

// In this order: model.safetensors; what model.safetensors.index.json names; the numbered shards 00001-of-0000N to
// 0000N-of-0000N. INVALID_ARGUMENT when there is none of these, the index is malformed, or shards
// without an index are not complete or of more than one set.
absl::StatusOr<CheckpointFiles> FindCheckpointFiles(const std::string& directory, const CheckpointLimits& limits);

}  // namespace headroom::model
