#include "model/text/chat_context.h"

#include <algorithm>

#include "common/status.h"
#include "model/text/jinja/json.h"

namespace headroom::model {
namespace {

using jinja::DictRef;
using jinja::MarkedText;
using jinja::Origin;
using jinja::Value;

class ContextMaker {
 public:
  ContextMaker(jinja::Workspace& workspace, const Conversation& conversation, const ContextForm& form)
      : workspace_(workspace), conversation_(conversation), form_(form) {}

  absl::StatusOr<Value> Messages() {
    std::vector<Value> messages;
    for (size_t i = 0; i < conversation_.messages.size(); ++i) {
      absl::StatusOr<Value> message = Message(conversation_.messages[i], i + 1 == conversation_.messages.size());
      if (!message.ok()) return Named("message", i, message.status());
      messages.push_back(*std::move(message));
    }
    return workspace_.MakeList(std::move(messages));
  }

  absl::StatusOr<Value> Tools() {
    std::vector<Value> tools;
    for (size_t i = 0; i < conversation_.tools.size(); ++i) {
      absl::StatusOr<Value> tool = Tool(conversation_.tools[i]);
      if (!tool.ok()) return Named("tool", i, tool.status());
      tools.push_back(*std::move(tool));
    }
    return workspace_.MakeList(std::move(tools));
  }

 private:
  static absl::Status Named(const char* what, size_t index, const absl::Status& status) {
    return absl::Status(status.code(), absl::StrCat(what, " ", index + 1, ": ", std::string(status.message())));
  }

  absl::Status Set(const DictRef& dict, const char* key, const Value& value) {
    return workspace_.Set(*dict, std::string_view(key), value);
  }
  absl::Status SetText(const DictRef& dict, const char* key, const std::string& text, Origin origin = Origin::kCaller) {
    HEADROOM_ASSIGN_OR_RETURN(const Value value, workspace_.MakeText(text, origin));
    return Set(dict, key, value);
  }

  absl::StatusOr<Value> Message(const ChatMessage& message, bool is_last) {
    const bool developer = message.role == ChatRole::kDeveloper && form_.developer_is_system;
    HEADROOM_ASSIGN_OR_RETURN(DictRef dict, workspace_.MakeDict());
    // Of a closed set of names: a template may make a token of it.
    const char* const role = NameOf(developer ? ChatRole::kSystem : message.role);
    HEADROOM_RETURN_IF_ERROR(SetText(dict, "role", role, Origin::kTemplate));
    HEADROOM_ASSIGN_OR_RETURN(const Value content, Content(message, is_last && conversation_.continue_final_message));
    HEADROOM_RETURN_IF_ERROR(Set(dict, "content", content));
    if (!message.tool_calls.empty()) {
      HEADROOM_ASSIGN_OR_RETURN(const Value calls, Calls(message.tool_calls));
      HEADROOM_RETURN_IF_ERROR(Set(dict, "tool_calls", calls));
    }
    if (!message.tool_call_id.empty()) HEADROOM_RETURN_IF_ERROR(SetText(dict, "tool_call_id", message.tool_call_id));
    if (!message.name.empty()) HEADROOM_RETURN_IF_ERROR(SetText(dict, "name", message.name));
    return Value(dict);
  }

  // `with_end_mark` follows the last text.
  absl::StatusOr<Value> Content(const ChatMessage& message, bool with_end_mark) {
    const bool has_image = std::any_of(message.parts.begin(), message.parts.end(),
                                       [](const MessagePart& part) { return std::holds_alternative<ImagePart>(part); });
    const bool many = message.parts.size() > 1;
    const bool as_parts =
        has_image ? form_.images_as_parts : (many ? form_.many_texts_as_parts : form_.one_text_as_parts);
    MarkedText joined;
    std::vector<Value> parts;
    for (const MessagePart& part : message.parts) {
      if (as_parts && std::holds_alternative<ImagePart>(part)) {
        HEADROOM_ASSIGN_OR_RETURN(DictRef dict, workspace_.MakeDict());
        HEADROOM_RETURN_IF_ERROR(SetText(dict, "type", "image", Origin::kTemplate));
        parts.emplace_back(dict);
        continue;
      }
      MarkedText text;
      if (const auto* written = std::get_if<std::string>(&part); written != nullptr) {
        text = MarkedText(*written, Origin::kCaller);
      } else {
        text = MarkedText(kImagePlaceholder,
                          static_cast<Origin>(static_cast<int32_t>(Origin::kFirstImage) + next_image_++));
      }
      if (with_end_mark && &part == &message.parts.back()) text.Append(kEndMark, kEndMarkOrigin);
      if (as_parts) {
        HEADROOM_ASSIGN_OR_RETURN(DictRef dict, workspace_.MakeDict());
        HEADROOM_RETURN_IF_ERROR(SetText(dict, "type", "text", Origin::kTemplate));
        HEADROOM_ASSIGN_OR_RETURN(const Value value, workspace_.MakeText(std::move(text)));
        HEADROOM_RETURN_IF_ERROR(Set(dict, "text", value));
        parts.emplace_back(dict);
      } else {
        if (&part != &message.parts.front()) joined.Append("\n", Origin::kCaller);
        joined.Append(text);
      }
    }
    return as_parts ? workspace_.MakeList(std::move(parts)) : workspace_.MakeText(std::move(joined));
  }

  absl::StatusOr<Value> Object(const std::string& json, const char* what) {
    absl::StatusOr<Value> object = jinja::ReadJson(workspace_, json.empty() ? "{}" : json, Origin::kCaller);
    if (!object.ok())
      return absl::InvalidArgumentError(absl::StrCat(what, ": ", std::string(object.status().message())));
    if (!object->IsDict()) return absl::InvalidArgumentError(std::string(what) + ": is no JSON object");
    return object;
  }

  // {"type": "function", ["id": …], "function": {…}}
  absl::StatusOr<Value> Function(const std::string& id, const Value& function) {
    HEADROOM_ASSIGN_OR_RETURN(DictRef dict, workspace_.MakeDict());
    HEADROOM_RETURN_IF_ERROR(SetText(dict, "type", "function", Origin::kTemplate));
    if (!id.empty()) HEADROOM_RETURN_IF_ERROR(SetText(dict, "id", id));
    HEADROOM_RETURN_IF_ERROR(Set(dict, "function", function));
    return Value(dict);
  }

  absl::StatusOr<Value> Calls(const std::vector<ToolCall>& calls) {
    std::vector<Value> values;
    for (size_t i = 0; i < calls.size(); ++i) {
      absl::StatusOr<Value> arguments = Object(calls[i].arguments_json, "arguments_json");
      if (!arguments.ok()) return Named("tool call", i, arguments.status());
      HEADROOM_ASSIGN_OR_RETURN(DictRef function, workspace_.MakeDict());
      HEADROOM_RETURN_IF_ERROR(SetText(function, "name", calls[i].name));
      HEADROOM_RETURN_IF_ERROR(Set(function, "arguments", *arguments));
      HEADROOM_ASSIGN_OR_RETURN(values.emplace_back(), Function(calls[i].id, Value(function)));
    }
    return workspace_.MakeList(std::move(values));
  }

  absl::StatusOr<Value> Tool(const ToolDefinition& tool) {
    HEADROOM_ASSIGN_OR_RETURN(const Value parameters, Object(tool.parameters_json, "parameters_json"));
    HEADROOM_ASSIGN_OR_RETURN(DictRef function, workspace_.MakeDict());
    HEADROOM_RETURN_IF_ERROR(SetText(function, "name", tool.name));
    HEADROOM_RETURN_IF_ERROR(SetText(function, "description", tool.description));
    HEADROOM_RETURN_IF_ERROR(Set(function, "parameters", parameters));
    return Function("", Value(function));
  }

  jinja::Workspace& workspace_;
  const Conversation& conversation_;
  const ContextForm& form_;
  int32_t next_image_ = 0;
};

}  // namespace

absl::StatusOr<jinja::Evaluator::Variables> MakeContext(
    jinja::Workspace& workspace, const Conversation& conversation,
    const std::vector<std::pair<std::string, std::string>>& special_tokens, const ContextForm& form) {
  ContextMaker maker(workspace, conversation, form);
  jinja::Evaluator::Variables variables;
  for (const auto& [name, content] : special_tokens) {
    HEADROOM_ASSIGN_OR_RETURN(Value token, workspace.MakeText(content));
    variables.emplace_back(name, std::move(token));
  }
  HEADROOM_ASSIGN_OR_RETURN(Value messages, maker.Messages());
  variables.emplace_back("messages", std::move(messages));
  if (!conversation.tools.empty()) {
    HEADROOM_ASSIGN_OR_RETURN(Value tools, maker.Tools());
    variables.emplace_back("tools", std::move(tools));
  } else if (!form.tools_undefined) {
    variables.emplace_back("tools", jinja::None{});
  }
  variables.emplace_back("documents", jinja::None{});
  variables.emplace_back("add_generation_prompt", conversation.add_generation_prompt);
  return variables;
}

}  // namespace headroom::model
