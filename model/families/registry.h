// The model families that a plan knows: architecture name in config.json -> function that builds the card. A family is
// one small file; adding one is that file and one line in registry.cc.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/card.h"
#include "model/families/field_reader.h"

namespace headroom::model::families {

// What a family reads. `preprocessor` has no fields when the model has no preprocessor_config.json.
struct FamilyInput {
  std::string architecture;
  JsonFields config;
  JsonFields preprocessor;
};

absl::StatusOr<ModelCard> DeepseekV3Card(const FamilyInput& input);
absl::StatusOr<ModelCard> GlmAsrCard(const FamilyInput& input);
absl::StatusOr<ModelCard> Glm4vCard(const FamilyInput& input);
absl::StatusOr<ModelCard> Glm4vMoeCard(const FamilyInput& input);
absl::StatusOr<ModelCard> HunyuanVlCard(const FamilyInput& input);
// Llama, Mistral, Qwen2, Qwen3.
absl::StatusOr<ModelCard> LlamaLikeCard(const FamilyInput& input);

// Served ones too; sorted.
std::vector<std::string> KnownArchitectures();

// The card of a config.json's text; LoadModelCard() is this with files.
absl::StatusOr<ModelCard> CardOfTexts(const ConfigTexts& texts);

// Every size of a card within the bounds that card.h promises, and less than 2^50 parameters, so that sums and products
// of a plan stay inside int64. INVALID_ARGUMENT names the matrix or shape, its size and the limit.
absl::Status CheckCard(const ModelCard& card);

}  // namespace headroom::model::families
