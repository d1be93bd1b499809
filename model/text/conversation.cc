#include "model/text/conversation.h"

#include <algorithm>

#include "common/status.h"

namespace headroom::model {
namespace {

constexpr size_t kMessagesMax = 4096;
constexpr size_t kToolsMax = 256;
constexpr ChatRole kRoles[] = {ChatRole::kSystem, ChatRole::kDeveloper, ChatRole::kUser, ChatRole::kAssistant,
                               ChatRole::kTool};

absl::Status Invalid(const std::string& what) { return absl::InvalidArgumentError(what); }

bool IsImage(const MessagePart& part) { return std::holds_alternative<ImagePart>(part); }

bool IsEmpty(const ChatMessage& message) {
  return std::all_of(message.parts.begin(), message.parts.end(), [](const MessagePart& part) {
    const auto* const text = std::get_if<std::string>(&part);
    return text != nullptr && text->empty();
  });
}

absl::Status ValidateMessage(const ChatMessage& message, const std::string& which) {
  const bool has_image = std::any_of(message.parts.begin(), message.parts.end(), IsImage);
  if (has_image && message.role != ChatRole::kUser) return Invalid(which + "has an image and is not from the user");
  if (!message.tool_calls.empty() && message.role != ChatRole::kAssistant) {
    return Invalid(which + "has tool_calls and is not from the assistant");
  }
  if (!message.tool_call_id.empty() && message.role != ChatRole::kTool) {
    return Invalid(which + "has a tool_call_id and is not from a tool");
  }
  for (size_t i = 0; i < message.tool_calls.size(); ++i) {
    if (message.tool_calls[i].name.empty()) return Invalid(absl::StrCat(which, "tool call ", i + 1, ": has no name"));
  }
  return absl::OkStatus();
}

absl::Status ValidateContinuation(const Conversation& conversation) {
  if (conversation.add_generation_prompt) {
    return Invalid("continue_final_message and add_generation_prompt exclude each other");
  }
  const ChatMessage& last = conversation.messages.back();
  const bool has_text = !last.parts.empty() && !IsImage(last.parts.back());
  if (last.role == ChatRole::kAssistant && has_text) return absl::OkStatus();
  return Invalid(absl::StrCat("message ", conversation.messages.size(),
                              ": continue_final_message needs a text of the assistant to go on from"));
}

int64_t TextBytes(const ChatMessage& message) {
  size_t bytes = message.tool_call_id.size() + message.name.size();
  for (const MessagePart& part : message.parts) {
    if (const auto* text = std::get_if<std::string>(&part); text != nullptr) bytes += text->size();
  }
  for (const ToolCall& call : message.tool_calls)
    bytes += call.id.size() + call.name.size() + call.arguments_json.size();
  return static_cast<int64_t>(bytes);
}

}  // namespace

std::optional<ChatRole> ParseChatRole(const std::string& name) {
  for (const ChatRole role : kRoles) {
    if (name == NameOf(role)) return role;
  }
  return std::nullopt;
}

const char* NameOf(ChatRole role) {
  switch (role) {
    case ChatRole::kSystem:
      return "system";
    case ChatRole::kDeveloper:
      return "developer";
    case ChatRole::kUser:
      return "user";
    case ChatRole::kAssistant:
      return "assistant";
    case ChatRole::kTool:
      return "tool";
  }
  return "";
}

std::vector<ImagePart> Conversation::images() const {
  std::vector<ImagePart> images;
  for (const ChatMessage& message : messages) {
    for (const MessagePart& part : message.parts) {
      if (const auto* image = std::get_if<ImagePart>(&part); image != nullptr) images.push_back(*image);
    }
  }
  return images;
}

int64_t Conversation::text_bytes() const {
  auto bytes = static_cast<int64_t>(template_arguments_json.size());
  for (const ChatMessage& message : messages) bytes += TextBytes(message);
  for (const ToolDefinition& tool : tools) {
    bytes += static_cast<int64_t>(tool.name.size() + tool.description.size() + tool.parameters_json.size());
  }
  return bytes;
}

int64_t Conversation::entries() const {
  size_t count = messages.size() + tools.size();
  for (const ChatMessage& message : messages) count += message.parts.size() + message.tool_calls.size();
  return static_cast<int64_t>(count);
}

absl::Status ValidateConversation(const Conversation& conversation) {
  const std::vector<ChatMessage>& messages = conversation.messages;
  if (messages.empty()) return Invalid("there are no messages");
  if (messages.size() > kMessagesMax) {
    return Invalid(absl::StrCat("there are ", messages.size(), " messages, the limit is ", kMessagesMax));
  }
  if (conversation.tools.size() > kToolsMax) {
    return Invalid(absl::StrCat("there are ", conversation.tools.size(), " tools, the limit is ", kToolsMax));
  }
  if (conversation.entries() > Conversation::kEntriesMax) {
    return Invalid(absl::StrCat("there are ", conversation.entries(),
                                " messages, parts, tools and calls, the limit is ", Conversation::kEntriesMax));
  }
  for (size_t i = 0; i < conversation.tools.size(); ++i) {
    if (conversation.tools[i].name.empty()) return Invalid(absl::StrCat("tool ", i + 1, ": has no name"));
  }
  for (size_t i = 0; i < messages.size(); ++i) {
    HEADROOM_RETURN_IF_ERROR(ValidateMessage(messages[i], absl::StrCat("message ", i + 1, ": ")));
  }
  if (messages.back().role == ChatRole::kUser && IsEmpty(messages.back())) {
    return Invalid(absl::StrCat("message ", messages.size(), ": is empty"));
  }
  if (conversation.continue_final_message) return ValidateContinuation(conversation);
  return absl::OkStatus();
}

}  // namespace headroom::model
