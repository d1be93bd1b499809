// The model families: architecture name in config.json -> function that reads it. A family is one small file; adding
// one is that file and one line in registry.cc.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/families/field_reader.h"
#include "model/spec.h"

namespace headroom::model::families {

// What a family reads. `preprocessor` has no fields when the model has no preprocessor_config.json.
struct FamilyInput {
  std::string architecture;
  JsonFields config;
  JsonFields preprocessor;
};

absl::StatusOr<ModelSpec> DeepseekV3(const FamilyInput& input);
absl::StatusOr<ModelSpec> GlmAsr(const FamilyInput& input);
absl::StatusOr<ModelSpec> Glm4v(const FamilyInput& input);
absl::StatusOr<ModelSpec> Glm4vMoe(const FamilyInput& input);
absl::StatusOr<ModelSpec> HunyuanVl(const FamilyInput& input);
// Llama, Mistral, Qwen2, Qwen3.
absl::StatusOr<ModelSpec> LlamaLike(const FamilyInput& input);
absl::StatusOr<ModelSpec> MiniCpmV(const FamilyInput& input);

using FamilyFunction = absl::StatusOr<ModelSpec> (*)(const FamilyInput&);
// Null when there is none of this name.
FamilyFunction FamilyOf(const std::string& architecture);
// Sorted.
std::vector<std::string> KnownArchitectures();

}  // namespace headroom::model::families
