// What the gateway knows of the models that it serves: no weights.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/status.h"
#include "gateway/answer_syntax.h"
#include "model/config.h"
#include "model/text/prompt.h"
#include "model/text/tokenizer.h"

namespace headroom::gateway {

// Immutable after loading, so every method is thread-safe.
class ServedModel {
 public:
  // Reads config, tokenizer, chat template and checkpoint headers of `directory`. `chat_template`: a file with a
  // template instead of the model's own, or nothing.
  static absl::StatusOr<std::unique_ptr<ServedModel>> Load(const std::string& directory,
                                                           const std::string& chat_template = "");

  // INVALID_ARGUMENT naming the token, for an id of the tokenizer that the model has no embedding for.
  absl::Status CheckHasRow(int32_t id) const;

  std::string name;  // last part of the directory
  std::string fingerprint;
  model::ModelConfig config;
  std::unique_ptr<model::Tokenizer> tokenizer;
  std::unique_ptr<model::PromptBuilder> prompts;
  std::vector<int32_t> stop_ids;
  AnswerSyntax answer_syntax;
  bool constrains = false;  // answers can be held to a schema: this build has the library
  std::vector<int32_t> marker_ids;  // of the answer's syntax, where they are tokens
};

// The models of one gateway: one or more, the same while it lives.
class ServedModels {
 public:
  explicit ServedModels(std::vector<std::unique_ptr<ServedModel>> models) : models_(std::move(models)) {}

  // The one that a client names; an empty name means the only one. INVALID_ARGUMENT with the names that there are.
  absl::StatusOr<const ServedModel*> Find(const std::string& name) const;
  const std::vector<std::unique_ptr<ServedModel>>& all() const { return models_; }

 private:
  const std::vector<std::unique_ptr<ServedModel>> models_;
};

}  // namespace headroom::gateway
