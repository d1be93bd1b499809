#include "tools/golden_check/prompt_ids.h"

#include <limits>
#include <optional>
#include <utility>

#include "model/text/chat_template_files.h"

namespace headroom::tools {
namespace {

absl::StatusOr<model::PromptBuilder> MakeBuilder(const std::string& directory, const model::ModelSpec& config,
                                                 const model::Tokenizer* tokenizer) {
  HEADROOM_ASSIGN_OR_RETURN(model::ChatTemplate chat_template,
                            model::LoadChatTemplate(directory, /*override_file=*/""));
  std::optional<model::PromptImages> images;
  if (config.vision.has_value()) {
    images = model::PromptImages{.markers = config.markers, .use_image_id = config.use_image_id};
  } else if (config.merging.has_value()) {
    images = model::PromptImages{.markers = {}, .row_token = config.image_token_id, .use_image_id = false};
  }
  return model::PromptBuilder::Create(tokenizer, std::move(chat_template), std::move(images));
}

}  // namespace

absl::StatusOr<PromptIds> PromptIds::Load(const std::string& directory, const model::ModelSpec& config) {
  PromptIds prompt_ids;
  HEADROOM_ASSIGN_OR_RETURN(prompt_ids.tokenizer_, model::Tokenizer::FromDirectory(directory));
  prompt_ids.builder_ = MakeBuilder(directory, config, prompt_ids.tokenizer_.get());
  return prompt_ids;
}

absl::StatusOr<BuiltPrompt> PromptIds::Build(const GoldenCase& golden,
                                             const std::vector<model::PieceGeometry>& pictures) const {
  if (!golden.text.has_value()) return BuildChat(golden, pictures);
  BuiltPrompt built;
  // The reference looks for added tokens in a raw string.
  HEADROOM_ASSIGN_OR_RETURN(built.ids, tokenizer_->Encode(*golden.text, model::AddedTokens::kAll));
  return built;
}

absl::StatusOr<BuiltPrompt> PromptIds::BuildChat(const GoldenCase& golden,
                                                 const std::vector<model::PieceGeometry>& pictures) const {
  if (!builder_.ok()) return builder_.status();
  model::Conversation conversation;
  auto picture = pictures.begin();
  for (const GoldenMessage& message : golden.messages) {
    const std::optional<model::ChatRole> role = model::ParseChatRole(message.role);
    if (!role.has_value()) return absl::InvalidArgumentError("a message has the unknown role '" + message.role + "'");
    model::ChatMessage& chat = conversation.messages.emplace_back();
    chat.role = *role;
    for (const MessagePart& part : message.parts) {
      if (part.is_image) {
        chat.parts.emplace_back(model::ImagePart{
            .cols = picture->grid_cols, .rows = picture->grid_rows, .piece_rows = picture->piece_rows()});
        ++picture;
      } else {
        chat.parts.emplace_back(part.value);
      }
    }
  }
  HEADROOM_ASSIGN_OR_RETURN(const model::Prompt prompt,
                            builder_->Build(conversation, std::numeric_limits<int32_t>::max()));
  BuiltPrompt built{.ids = prompt.ids, .image_bounds = {}};
  for (const model::TokenSpan& span : prompt.pieces) built.image_bounds.push_back({span.begin, span.end});
  return built;
}

}  // namespace headroom::tools
