#include "model/text/chat_template.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/status.h"
#include "common/utf8.h"
#include "model/text/json_member.h"
#include "model/text/template_shape.h"

namespace headroom::model {
namespace {

constexpr size_t kMessagesMax = 4096;
constexpr size_t kTemplateBytesMax = 1024 * 1024;

// ChatML
constexpr const char* kImStart = "<|im_start|>";
constexpr const char* kImEnd = "<|im_end|>";
// Llama 3
constexpr const char* kStartHeader = "<|start_header_id|>";
constexpr const char* kEndHeader = "<|end_header_id|>";
constexpr const char* kEndOfTurn = "<|eot_id|>";

const char* NameOf(ChatRole role) {
  switch (role) {
    case ChatRole::kSystem:
      return "system";
    case ChatRole::kUser:
      return "user";
    case ChatRole::kAssistant:
      return "assistant";
  }
  return "";
}

PromptSegment Control(const std::string& token) { return {PromptSegment::Kind::kControl, token, {}}; }
PromptSegment Text(const std::string& text) { return {PromptSegment::Kind::kText, text, {}}; }

// Compares a template with a family, node by node.
class NodeCursor {
 public:
  explicit NodeCursor(std::span<const TemplateNode> nodes) : nodes_(nodes) {}

  bool Take(TemplateNode::Kind kind, const std::string& value) {
    if (nodes_.empty() || nodes_[0].kind != kind || nodes_[0].value != value) return false;
    nodes_ = nodes_.subspan(1);
    return true;
  }
  bool TakeStatement(const std::string& value) { return Take(TemplateNode::Kind::kStatement, value); }
  bool TakeExpression(const std::string& value) { return Take(TemplateNode::Kind::kExpression, value); }
  bool TakeText(const std::string& value) { return Take(TemplateNode::Kind::kText, value); }

  // Text that begins and ends like this; what stands between goes to *middle.
  bool TakeAround(const std::string& prefix, const std::string& suffix, std::string* middle) {
    if (nodes_.empty() || nodes_[0].kind != TemplateNode::Kind::kText) return false;
    const std::string& text = nodes_[0].value;
    if (text.size() < prefix.size() + suffix.size() || !text.starts_with(prefix) || !text.ends_with(suffix))
      return false;
    *middle = text.substr(prefix.size(), text.size() - prefix.size() - suffix.size());
    nodes_ = nodes_.subspan(1);
    return true;
  }

  // A guard that some templates begin with; add_generation_prompt is always given here.
  void SkipGenerationDefault() {
    NodeCursor ahead = *this;
    const bool guard = ahead.TakeStatement("if not add_generation_prompt is defined") ||
                       ahead.TakeStatement("if add_generation_prompt is not defined");
    if (guard && ahead.TakeStatement("set add_generation_prompt = false") && ahead.TakeStatement("endif"))
      *this = ahead;
  }

  bool TakeGenerationPrompt(const std::string& text) {
    return TakeStatement("if add_generation_prompt") && TakeText(text) && TakeStatement("endif") && nodes_.empty();
  }

 private:
  std::span<const TemplateNode> nodes_;
};

bool MatchChatMl(NodeCursor cursor, std::optional<std::string>* default_system) {
  cursor.SkipGenerationDefault();
  if (!cursor.TakeStatement("for message in messages")) return false;
  bool has_default = false;
  for (const char* condition : {"if loop . first and message [ 'role' ] != 'system'",
                                "if loop . first and messages [ 0 ] [ 'role' ] != 'system'"}) {
    has_default = has_default || cursor.TakeStatement(condition);
  }
  if (has_default) {
    std::string system;
    if (!cursor.TakeAround("<|im_start|>system\n", "<|im_end|>\n", &system) || !cursor.TakeStatement("endif"))
      return false;
    if (system.find("<|") != std::string::npos) return false;
    *default_system = system;
  }
  return cursor.TakeText(kImStart) && cursor.TakeExpression("message [ 'role' ]") && cursor.TakeText("\n") &&
         cursor.TakeExpression("message [ 'content' ]") && cursor.TakeText("<|im_end|>\n") &&
         cursor.TakeStatement("endfor") && cursor.TakeGenerationPrompt("<|im_start|>assistant\n");
}

bool MatchLlama3(NodeCursor cursor) {
  cursor.SkipGenerationDefault();
  return cursor.TakeStatement("set loop_messages = messages") && cursor.TakeStatement("for message in loop_messages") &&
         cursor.TakeStatement(
             "set content = '<|start_header_id|>' + message [ 'role' ] + '<|end_header_id|>\n\n' + "
             "message [ 'content' ] | trim + '<|eot_id|>'") &&
         cursor.TakeStatement("if loop . index0 == 0") && cursor.TakeStatement("set content = bos_token + content") &&
         cursor.TakeStatement("endif") && cursor.TakeExpression("content") && cursor.TakeStatement("endfor") &&
         cursor.TakeGenerationPrompt("<|start_header_id|>assistant<|end_header_id|>\n\n");
}

// Parts with a newline between two.
std::vector<PromptSegment> JoinParts(const ChatMessage& message) {
  std::vector<PromptSegment> content;
  for (const MessagePart& part : message.parts) {
    if (!content.empty()) content.push_back(Text("\n"));
    if (const auto* text = std::get_if<std::string>(&part)) {
      content.push_back(Text(*text));
    } else {
      content.push_back({PromptSegment::Kind::kImage, "", std::get<ImagePart>(part)});
    }
  }
  return content;
}

}  // namespace

std::optional<ChatRole> ParseChatRole(const std::string& name) {
  for (ChatRole role : {ChatRole::kSystem, ChatRole::kUser, ChatRole::kAssistant}) {
    if (name == NameOf(role)) return role;
  }
  return std::nullopt;
}

absl::Status ValidateMessages(std::span<const ChatMessage> messages) {
  const auto invalid = [](const std::string& what) { return absl::InvalidArgumentError(what); };
  if (messages.empty()) return invalid("there are no messages");
  if (messages.size() > kMessagesMax) {
    return invalid(absl::StrCat("there are ", messages.size(), " messages, the limit is ", kMessagesMax));
  }
  for (size_t i = 0; i < messages.size(); ++i) {
    const ChatMessage& message = messages[i];
    const std::string which = absl::StrCat("message ", i + 1, ": ");
    if (message.role == ChatRole::kSystem && i > 0) return invalid(which + "a system message that is not the first");
    bool empty = true;
    for (const MessagePart& part : message.parts) {
      const auto* text = std::get_if<std::string>(&part);
      if (text == nullptr && message.role != ChatRole::kUser)
        return invalid(which + "has an image and is not from the user");
      empty = empty && text != nullptr && text->empty();
    }
    if (empty) return invalid(which + "is empty");
  }
  const size_t first = messages[0].role == ChatRole::kSystem ? 1 : 0;
  if (first == messages.size()) return invalid("there is no user message");
  if (messages[first].role != ChatRole::kUser) {
    return invalid(absl::StrCat("message ", first + 1, ": the first that is not the system's must be from the user"));
  }
  if (messages.back().role != ChatRole::kUser) {
    return invalid(absl::StrCat("message ", messages.size(), ": the last must be from the user"));
  }
  return absl::OkStatus();
}

absl::StatusOr<ChatTemplate> ChatTemplate::FromTokenizerConfig(const std::string& json) {
  const nlohmann::json config = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return absl::InvalidArgumentError("tokenizer_config.json is not a JSON object");
  const nlohmann::json* jinja = &Member(config, "chat_template");
  if (jinja->is_array()) {
    const auto is_default = [](const nlohmann::json& entry) { return Member(entry, "name") == "default"; };
    const auto found = std::find_if(jinja->begin(), jinja->end(), is_default);
    if (found == jinja->end())
      return absl::InvalidArgumentError("tokenizer_config.json: no chat_template is called default");
    jinja = &Member(*found, "template");
  }
  if (!jinja->is_string()) return absl::InvalidArgumentError("tokenizer_config.json has no chat_template");
  // A token is its content, or an object with the content in it.
  const nlohmann::json& bos = Member(config, "bos_token");
  const nlohmann::json& bos_content = bos.is_object() ? Member(bos, "content") : bos;
  return FromJinja(jinja->get<std::string>(), bos_content.is_string() ? bos_content.get<std::string>() : "");
}

absl::StatusOr<ChatTemplate> ChatTemplate::FromJinja(const std::string& jinja, const std::string& bos_token) {
  if (jinja.size() > kTemplateBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("chat_template has ", jinja.size(), " bytes, the limit is ", kTemplateBytesMax));
  }
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<TemplateNode> nodes, ReadTemplate(jinja));
  ChatTemplate result;
  if (MatchChatMl(NodeCursor(nodes), &result.default_system_)) return result;
  if (MatchLlama3(NodeCursor(nodes))) {
    if (bos_token.empty())
      return absl::InvalidArgumentError("chat_template begins with bos_token, which tokenizer_config.json lacks");
    result.family_ = Family::kLlama3;
    result.default_system_.reset();
    result.bos_token_ = bos_token;
    return result;
  }
  return absl::InvalidArgumentError("chat_template is of no family that is supported (ChatML, Llama 3)");
}

absl::StatusOr<std::vector<PromptSegment>> ChatTemplate::Render(std::span<const ChatMessage> messages) const {
  HEADROOM_RETURN_IF_ERROR(ValidateMessages(messages));
  std::vector<PromptSegment> out;
  if (family_ == Family::kLlama3) {
    const auto is_image = [](const MessagePart& part) { return std::holds_alternative<ImagePart>(part); };
    for (const ChatMessage& message : messages) {
      if (std::any_of(message.parts.begin(), message.parts.end(), is_image)) {
        return absl::InvalidArgumentError("this model takes no images");
      }
    }
    out.push_back(Control(bos_token_));
  }
  if (default_system_.has_value() && messages[0].role != ChatRole::kSystem) {
    RenderTurn(ChatRole::kSystem, {Text(*default_system_)}, &out);
  }
  for (const ChatMessage& message : messages) RenderTurn(message.role, JoinParts(message), &out);
  RenderHeader(NameOf(ChatRole::kAssistant), &out);
  return out;
}

void ChatTemplate::RenderHeader(const std::string& role, std::vector<PromptSegment>* out) const {
  if (family_ == Family::kChatMl) {
    out->push_back(Control(kImStart));
    out->push_back(Text(role + "\n"));
  } else {
    out->push_back(Control(kStartHeader));
    out->push_back(Text(role));
    out->push_back(Control(kEndHeader));
    out->push_back(Text("\n\n"));
  }
}

void ChatTemplate::RenderTurn(ChatRole role, std::vector<PromptSegment> content,
                              std::vector<PromptSegment>* out) const {
  RenderHeader(NameOf(role), out);
  if (family_ == Family::kLlama3) {
    std::string text;
    for (const PromptSegment& segment : content) text += segment.text;
    content = {Text(std::string(TrimWhiteSpace(text)))};
  }
  out->insert(out->end(), std::make_move_iterator(content.begin()), std::make_move_iterator(content.end()));
  out->push_back(Control(end_of_turn()));
  if (family_ == Family::kChatMl) out->push_back(Text("\n"));
}

std::vector<std::string> ChatTemplate::control_tokens() const {
  if (family_ == Family::kChatMl) return {kImStart, kImEnd};
  return {bos_token_, kStartHeader, kEndHeader, kEndOfTurn};
}

std::string ChatTemplate::end_of_turn() const { return family_ == Family::kChatMl ? kImEnd : kEndOfTurn; }

}  // namespace headroom::model
