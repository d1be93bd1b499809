// quantization_config of a config.json: which matrices of a decoder are stored in how many bits, and how.
#pragma once

#include <string>
#include <vector>

#include "model/packing.h"
#include "model/reading/field_reader.h"
#include "model/reading/module_list.h"
#include "model/weight_format.h"

namespace headroom::model::reading {

struct StoredFormat {
  WeightFormat format;
  Packing packing = Packing::kPlain;

  friend bool operator==(const StoredFormat&, const StoredFormat&) = default;
};

// Asked of the matrix products in a decoder's layers only: embeddings, head, router, norms and encoders are never
// counted as quantized.
class Quantization {
 public:
  // Nothing is quantized.
  Quantization() = default;
  // What `config` says, or `text` where config.json has none. What could not be told is noted as assumed; errors go to
  // the readers.
  //   compressed-tensors  4-bit integers in groups, 8-bit integers, 8-bit floats
  //   fp8                 8-bit floats
  //   gptq, awq           4 or 8 bits in groups
  // Everything else is WeightFormat::Kind::kUnknown.
  static Quantization Read(FieldReader& config, FieldReader& text);

  // `module`: its name in the checkpoint, without ".weight".
  StoredFormat FormatOf(const std::string& module) const;

 private:
  // The first group that names a module is the one that counts.
  struct Group {
    StoredFormat stored = {.format = {.kind = WeightFormat::Kind::kUnknown}};
    ModuleList targets;
  };

  // Of one method each.
  void ReadCompressedTensors(FieldReader& reader);
  void ReadGrouped(FieldReader& reader, Packing packing, bool zero_points);
  void ReadFp8(FieldReader& reader);

  void AddGroup(StoredFormat stored);
  void ReadIgnored(FieldReader& reader, const char* name);

  std::vector<Group> groups_;
  ModuleList ignored_;
};

}  // namespace headroom::model::reading
