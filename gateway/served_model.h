// What the gateway knows of the models that it serves: no weights.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/config.h"
#include "common/status.h"
#include "gateway/answer_syntax.h"
#include "model/spec.h"
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

  std::string name;  // as clients call it: from the configuration, or the last part of the directory
  std::vector<std::string> aliases;
  std::string fingerprint;
  model::ModelSpec config;
  std::unique_ptr<model::Tokenizer> tokenizer;
  std::unique_ptr<model::PromptBuilder> prompts;
  std::vector<int32_t> stop_ids;
  AnswerSyntax answer_syntax;
  bool constrains = false;          // answers can be held to a schema: this build has the library
  std::vector<int32_t> marker_ids;  // of the answer's syntax, where they are tokens
  int64_t host_bytes = 0;           // of its files: model_host_bytes.h
};

// The models of one gateway, the same while it lives: which of them can be asked now, its ClusterView says.
class ServedModels {
 public:
  // One of the configuration that could not be loaded.
  struct Missing {
    std::string name;
    std::vector<std::string> aliases;
    absl::Status why;
  };

  // At least one model; names and aliases are all different.
  explicit ServedModels(std::vector<std::unique_ptr<ServedModel>> models, std::vector<Missing> missing = {})
      : models_(std::move(models)), missing_(std::move(missing)) {}
  // All models of the configuration whose files can be read and whose loading fits into gateway.host_bytes_max beside
  // what those before hold. The others are missing, with a line in the log; an error only when all are.
  static absl::StatusOr<ServedModels> Load(const ClusterConfig& config);

  // The one that a client names, by name or alias; an empty name means the only one, INVALID_ARGUMENT where there are
  // several. Refused as MODEL_NOT_FOUND, with the names that there are, or as MODEL_NOT_LOADED.
  absl::StatusOr<const ServedModel*> Find(const std::string& name) const;
  const std::vector<std::unique_ptr<ServedModel>>& all() const { return models_; }
  const std::vector<Missing>& missing() const { return missing_; }
  // That all hold.
  int64_t host_bytes() const;

 private:
  std::vector<std::unique_ptr<ServedModel>> models_;
  std::vector<Missing> missing_;
};

}  // namespace headroom::gateway
