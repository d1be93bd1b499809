// Chat templates: how the messages of a conversation become one prompt text.
//
// A tokenizer_config.json holds the template as a Jinja program. The families below are recognised and then rendered by
// code; any other template is an error at load.
//   ChatML: <|im_start|>role\n … <|im_end|>\n (Qwen2, MiniCPM-V 2.6), with or without a default system message
//   Llama 3: <|start_header_id|>role<|end_header_id|>\n\n … <|eot_id|>, white space around a message trimmed
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"

namespace headroom::model {

enum class ChatRole { kSystem, kUser, kAssistant };

std::optional<ChatRole> ParseChatRole(const std::string& name);

// An image in a message: the grid that its slices form, or 0 × 0 for an image that is one piece.
struct ImagePart {
  int32_t cols = 0;
  int32_t rows = 0;
};

using MessagePart = std::variant<std::string, ImagePart>;

struct ChatMessage {
  ChatRole role = ChatRole::kUser;
  std::vector<MessagePart> parts;  // in order; the prompt has a newline between two
};

// A stretch of the prompt, in order.
struct PromptSegment {
  enum class Kind {
    kControl,  // `text` is the content of one special token
    kText,     // ordinary text; tokenized together with neighbouring text, special tokens not looked for
    kImage,
  };
  Kind kind = Kind::kText;
  std::string text;
  ImagePart image;
};

// INVALID_ARGUMENT unless: at least one and at most 4096 messages; a system message only as the first; the first other
// message and the last message are the user's; every message has a part, and an image or text that is not empty; images
// only from the user.
absl::Status ValidateMessages(std::span<const ChatMessage> messages);

// Immutable and thread-safe.
class ChatTemplate {
 public:
  // `json`: contents of a tokenizer_config.json; of several templates, the one called "default".
  // Errors: INVALID_ARGUMENT when there is no template or it is of no known family.
  static absl::StatusOr<ChatTemplate> FromTokenizerConfig(const std::string& json);
  // `jinja`: the template itself. `bos_token` is used by Llama 3.
  static absl::StatusOr<ChatTemplate> FromJinja(const std::string& jinja, const std::string& bos_token);

  // The prompt for `messages`, up to where the assistant's answer begins. Errors: those of ValidateMessages; an image
  // where the family has none.
  absl::StatusOr<std::vector<PromptSegment>> Render(std::span<const ChatMessage> messages) const;

  // Contents of the special tokens that Render can give.
  std::vector<std::string> control_tokens() const;
  // Content of the special token that ends an answer.
  std::string end_of_turn() const;

 private:
  enum class Family { kChatMl, kLlama3 };

  ChatTemplate() = default;
  void RenderTurn(ChatRole role, std::vector<PromptSegment> content, std::vector<PromptSegment>* out) const;
  void RenderHeader(const std::string& role, std::vector<PromptSegment>* out) const;

  Family family_ = Family::kChatMl;
  std::optional<std::string> default_system_;
  std::string bos_token_;
};

}  // namespace headroom::model
