#include "gateway/served_model.h"

#include <algorithm>
#include <optional>

#include "common/log.h"
#include "common/status.h"
#include "common/utf8.h"
#include "gateway/model_host_bytes.h"
#include "gateway/own_refusals.h"
#include "model/checkpoint.h"
#include "model/fingerprint.h"
#include "model/structured/token_grammar.h"
#include "model/text/chat_template_files.h"

namespace headroom::gateway {
namespace {

// Until somebody has repaired the files and restarted the gateway.
constexpr std::chrono::seconds kNotLoadedRetry(30);

template <typename Model>
bool Answers(const Model& model, const std::string& name) {
  return model.name == name || std::find(model.aliases.begin(), model.aliases.end(), name) != model.aliases.end();
}

// What ends an answer: the model's own stops, what its template and tokenizer say, and the end of text that Qwen-like
// vocabularies have.
std::vector<int32_t> StopIds(const model::ModelSpec& config, const model::Tokenizer& tokenizer,
                             const model::PromptBuilder& prompts) {
  std::vector<int32_t> ids = prompts.AnswerEnds();
  for (int64_t id : config.llm.eos_token_ids) ids.push_back(static_cast<int32_t>(id));
  const auto end_of_text = tokenizer.TokenId("<|endoftext|>");
  if (end_of_text && tokenizer.IsAdded(*end_of_text)) ids.push_back(*end_of_text);
  std::erase_if(ids, [&](int32_t id) { return id >= config.llm.vocab_size; });
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

// Tokens that were added without resizing the model, and nothing ever produces.
void WarnOfTokensWithoutRow(const ServedModel& model) {
  constexpr int32_t kNamedMax = 4;
  const auto rows = static_cast<int32_t>(model.config.llm.vocab_size);
  const int32_t ids = model.tokenizer->vocab_size();
  if (ids <= rows) return;
  std::string names;
  for (int32_t id = rows; id < std::min(ids, rows + kNamedMax); ++id) {
    absl::StrAppend(&names, names.empty() ? "'" : " '", CutText(std::string(model.tokenizer->TokenBytes(id)), 64), "'");
  }
  Log(LogLevel::kWarning, "gateway",
      "the tokenizer has tokens beyond the model's vocabulary: prompts with one are refused")
      .With("vocabulary", rows)
      .With("tokens", ids - rows)
      .With("first", names);
}

// Control tokens of the template and of pictures are in every prompt: without a row for them nothing can be served.
absl::Status CheckControlTokens(const ServedModel& model) {
  model::Conversation conversation;
  model::ChatMessage& message = conversation.messages.emplace_back();
  if (model.config.vision) message.parts.emplace_back(model::ImagePart{.cols = 2, .rows = 1, .piece_rows = {1, 1, 1}});
  if (model.config.merging) message.parts.emplace_back(model::ImagePart{.piece_rows = {1}});
  message.parts.emplace_back("a");
  absl::StatusOr<model::Prompt> prompt = model.prompts->Build(conversation, model::Tokenizer::kTokenIdMax);
  // Some templates show a message only where there are tools.
  if (!prompt.ok()) {
    conversation.tools = {{.name = "a", .description = "a", .parameters_json = ""}};
    prompt = model.prompts->Build(conversation, model::Tokenizer::kTokenIdMax);
  }
  HEADROOM_RETURN_IF_ERROR(prompt.status());
  for (const int32_t id : prompt->ids) {
    if (!model.tokenizer->IsControl(id)) continue;
    HEADROOM_RETURN_IF_ERROR(model.CheckHasRow(id));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ServedModel::CheckHasRow(int32_t id) const {
  if (id < config.llm.vocab_size) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the prompt needs the token '",
                                                 CutText(std::string(tokenizer->TokenBytes(id)), 64), "' (id ", id,
                                                 "), and the model has a vocabulary of ", config.llm.vocab_size));
}

absl::StatusOr<std::unique_ptr<ServedModel>> ServedModel::Load(const std::string& directory,
                                                               const std::string& chat_template) {
  auto model = std::make_unique<ServedModel>();
  HEADROOM_ASSIGN_OR_RETURN(model->config, model::LoadServedModel(directory));
  HEADROOM_ASSIGN_OR_RETURN(const model::Checkpoint checkpoint, model::Checkpoint::Open(directory));
  HEADROOM_ASSIGN_OR_RETURN(model->fingerprint, model::ModelFingerprint(directory, checkpoint, chat_template));
  HEADROOM_ASSIGN_OR_RETURN(model->tokenizer, model::Tokenizer::FromDirectory(directory));
  WarnOfTokensWithoutRow(*model);
  HEADROOM_ASSIGN_OR_RETURN(model::ChatTemplate chat, model::LoadChatTemplate(directory, chat_template));
  std::optional<model::PromptImages> images;
  if (model->config.vision) {
    images = model::PromptImages{.markers = model->config.markers, .use_image_id = model->config.use_image_id};
  } else if (model->config.merging) {
    images = model::PromptImages{.markers = {}, .row_token = model->config.image_token_id, .use_image_id = false};
  }
  HEADROOM_ASSIGN_OR_RETURN(model::PromptBuilder prompts,
                            model::PromptBuilder::Create(model->tokenizer.get(), std::move(chat), std::move(images)));
  model->prompts = std::make_unique<model::PromptBuilder>(std::move(prompts));
  model->stop_ids = StopIds(model->config, *model->tokenizer, *model->prompts);
  HEADROOM_RETURN_IF_ERROR(CheckControlTokens(*model));
  model->constrains = model::TokenGrammarCompiler::IsAvailable();
  model->answer_syntax = FindAnswerSyntax(model->prompts->chat_template(), *model->tokenizer);
  for (const std::string& marker : model->answer_syntax.Markers()) {
    if (const auto id = model->tokenizer->TokenId(marker)) model->marker_ids.push_back(*id);
  }
  const ModelSection section{.path = directory, .chat_template = chat_template};
  model->name = section.Name();
  model->host_bytes = HostBytesOf(section).held;
  return model;
}

absl::StatusOr<ServedModels> ServedModels::Load(const ClusterConfig& config) {
  std::vector<std::unique_ptr<ServedModel>> models;
  std::vector<Missing> missing;
  int64_t left = config.gateway.host_bytes_max;
  const auto load = [&](const ModelSection& section) -> absl::Status {
    if (section.path.empty()) return absl::InvalidArgumentError("model.path is not set");
    const int64_t needed = HostBytesOf(section).loading;
    if (needed > left) {
      return absl::ResourceExhaustedError(absl::StrCat("loading its tokenizer and templates may take ", needed,
                                                       " bytes of ", left, " that are left of gateway.host_bytes_max (",
                                                       config.gateway.host_bytes_max, ")"));
    }
    HEADROOM_ASSIGN_OR_RETURN(std::unique_ptr<ServedModel> model,
                              ServedModel::Load(section.path, section.chat_template));
    for (const auto& other : models) {
      // Workers are told apart by it.
      if (other->fingerprint == model->fingerprint) {
        return absl::InvalidArgumentError("it has the very files of '" + other->name + "', which wants an alias");
      }
    }
    model->name = section.Name();
    model->aliases = section.aliases;
    left -= model->host_bytes;
    models.push_back(std::move(model));
    return absl::OkStatus();
  };
  for (const ModelSection& section : config.Models()) {
    const absl::Status status = load(section);
    if (status.ok()) continue;
    Log(LogLevel::kError, "gateway", "a model cannot be loaded")
        .With("model", section.Name())
        .With("reason", std::string(status.message()));
    missing.push_back({section.Name(), section.aliases, status});
  }
  if (models.empty()) return missing.front().why;
  return ServedModels(std::move(models), std::move(missing));
}

int64_t ServedModels::host_bytes() const {
  int64_t bytes = 0;
  for (const auto& model : models_) bytes += model->host_bytes;
  return bytes;
}

absl::StatusOr<const ServedModel*> ServedModels::Find(const std::string& name) const {
  const bool only = models_.size() == 1 && missing_.empty();
  if (name.empty() && only) return models_.front().get();
  std::string served;
  for (const auto& model : models_) {
    if (Answers(*model, name)) return model.get();
    absl::StrAppend(&served, served.empty() ? "'" : ", '", model->name, "'");
  }
  if (name.empty()) return absl::InvalidArgumentError("the request names no model; served are " + served);
  for (const Missing& model : missing_) {
    if (!Answers(model, name)) continue;
    return OwnRefusal(RefusalReason::kModelNotLoaded,
                      "the gateway could not load the model '" + model.name + "'; served are " + served, {},
                      kNotLoadedRetry);
  }
  return OwnRefusal(RefusalReason::kModelNotFound,
                    "unknown model '" + CutText(name, 64) + "'; served " + (only ? "is " : "are ") + served);
}

}  // namespace headroom::gateway
