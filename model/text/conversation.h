// A conversation as a client sends it, for the chat template.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"

namespace headroom::model {

enum class ChatRole { kSystem, kDeveloper, kUser, kAssistant, kTool };

std::optional<ChatRole> ParseChatRole(const std::string& name);
const char* NameOf(ChatRole role);

// An image in a message: the grid that its slices form, or 0 × 0 for an image that is one piece; and how many rows the
// model makes of each piece, the overview first, then the slices row by row.
struct ImagePart {
  int32_t cols = 0;
  int32_t rows = 0;
  std::vector<int64_t> piece_rows = {};
};

using MessagePart = std::variant<std::string, ImagePart>;

// A call of a tool that the assistant asked for.
struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments_json;  // an object; empty: no arguments
};

struct ChatMessage {
  ChatRole role = ChatRole::kUser;
  std::vector<MessagePart> parts;         // in order; where a template takes one text, with a newline between two
  std::vector<ToolCall> tool_calls = {};  // of the assistant
  std::string tool_call_id = {};          // of a tool: which call this answers; may be empty
  std::string name = {};                  // of a tool, or who speaks; may be empty
};

struct ToolDefinition {
  std::string name;
  std::string description;
  std::string parameters_json;  // JSON Schema, an object; empty: none
};

struct Conversation {
  // Of messages, parts, tools and calls together: pictures have limits of their own.
  static constexpr int64_t kEntriesMax = 16'384;

  std::vector<ChatMessage> messages;
  std::vector<ToolDefinition> tools = {};
  // The prompt ends with the head of the assistant's next message.
  bool add_generation_prompt = true;
  // The prompt ends with the text of the last message, to go on from. Without add_generation_prompt.
  bool continue_final_message = false;
  // A JSON object of what the template reads beside these (template_arguments.h); empty: nothing.
  std::string template_arguments_json = {};

  // In order.
  std::vector<ImagePart> images() const;
  // Of all texts, names and JSON.
  int64_t text_bytes() const;
  int64_t entries() const;
};

// INVALID_ARGUMENT unless: 1 to 4096 messages, at most 256 tools and kEntriesMax entries; images only from the user;
// the last message of a user not empty; calls only from the assistant, tool_call_id only from a tool; names not empty;
// continue_final_message only with a text of the assistant at the end, and not with add_generation_prompt. Which roles
// may follow which is the template's affair.
absl::Status ValidateConversation(const Conversation& conversation);

}  // namespace headroom::model
