#include "gateway/served_model.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "common/log.h"
#include "common/status.h"
#include "common/utf8.h"
#include "model/checkpoint.h"
#include "model/fingerprint.h"
#include "model/structured/token_grammar.h"
#include "model/text/chat_template_files.h"

namespace headroom::gateway {
namespace {

// What ends an answer: the model's own stops, what its template and tokenizer say, and the end of text that Qwen-like
// vocabularies have.
std::vector<int32_t> StopIds(const model::ModelConfig& config, const model::Tokenizer& tokenizer,
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
  if (model.config.vision) message.parts.emplace_back(model::ImagePart{.cols = 2, .rows = 1});
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
  HEADROOM_ASSIGN_OR_RETURN(model->config, model::LoadModelConfig(directory));
  HEADROOM_ASSIGN_OR_RETURN(const model::Checkpoint checkpoint, model::Checkpoint::Open(directory));
  HEADROOM_ASSIGN_OR_RETURN(model->fingerprint, model::ModelFingerprint(directory, checkpoint, chat_template));
  HEADROOM_ASSIGN_OR_RETURN(model->tokenizer, model::Tokenizer::FromDirectory(directory));
  WarnOfTokensWithoutRow(*model);
  HEADROOM_ASSIGN_OR_RETURN(model::ChatTemplate chat, model::LoadChatTemplate(directory, chat_template));
  std::optional<model::PromptImages> images;
  if (model->config.vision) {
    images = model::PromptImages{.markers = model->config.markers,
                                 .tokens_per_piece = model->config.resampler.query_num,
                                 .use_image_id = model->config.use_image_id};
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
  const std::filesystem::path path = std::filesystem::path(directory).lexically_normal();
  model->name = path.has_filename() ? path.filename().string() : path.parent_path().filename().string();
  return model;
}

absl::StatusOr<const ServedModel*> ServedModels::Find(const std::string& name) const {
  if (name.empty() && models_.size() == 1) return models_.front().get();
  std::string served;
  for (const auto& model : models_) {
    if (model->name == name) return model.get();
    absl::StrAppend(&served, served.empty() ? "'" : ", '", model->name, "'");
  }
  if (name.empty()) return absl::InvalidArgumentError("the request names no model; served are " + served);
  return absl::InvalidArgumentError("unknown model '" + CutText(name, 64) + "'; served is " + served);
}

}  // namespace headroom::gateway
