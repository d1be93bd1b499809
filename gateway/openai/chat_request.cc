#include "gateway/openai/chat_request.h"

#include <utility>

#include "gateway/openai/errors.h"
#include "gateway/openai/fields.h"
#include "gateway/openai/request_parts.h"

namespace headroom::gateway::openai {
namespace {

absl::Status Missing(const std::string& param) {
  return RequestError("missing_required_parameter", param, param + " is missing");
}

absl::Status ReadPart(Json& part, const std::string& param, v1::Message* message) {
  const std::string type = TakeString(part, "type");
  if (type == "image_url") {
    Json* const image = Find(part, "image_url");
    if (image == nullptr) return Missing(param + ".image_url");
    return ReadImage(*image, "", param + ".image_url", message->add_content()->mutable_image());
  }
  if (Find(part, type.c_str()) == nullptr) return Missing(param + "." + type);
  if (type == "image_size") {
    Json& size = *Find(part, "image_size");
    v1::ImageSize* const read = message->add_content()->mutable_image()->mutable_size();
    read->set_width(IntegerOr(size, "width", 0));
    read->set_height(IntegerOr(size, "height", 0));
    read->set_format(TakeString(size, "format"));
    read->set_size_bytes(IntegerOr(size, "size_bytes", 0));
    return absl::OkStatus();
  }
  message->add_content()->set_text(TakeString(part, type.c_str()));
  return absl::OkStatus();
}

absl::Status ReadMessage(Json& json, const std::string& param, v1::Message* message) {
  message->set_role(TakeString(json, "role"));
  message->set_name(TakeString(json, "name"));
  message->set_tool_call_id(TakeString(json, "tool_call_id"));
  Json* content = Find(json, "content");
  if (content == nullptr) content = Find(json, "refusal");
  if (content != nullptr && content->is_string()) {
    message->add_content()->set_text(std::move(content->get_ref<std::string&>()));
  } else if (content != nullptr) {
    for (size_t i = 0; i < content->size(); ++i) {
      HEADROOM_RETURN_IF_ERROR(ReadPart((*content)[i], absl::StrCat(param, ".content[", i, "]"), message));
    }
  }
  Json* const calls = Find(json, "tool_calls");
  if (calls == nullptr) return absl::OkStatus();
  for (Json& call : *calls) {
    v1::ToolCall* const read = message->add_tool_calls();
    read->set_id(TakeString(call, "id"));
    Json& function = *Find(call, "function");
    read->set_name(TakeString(function, "name"));
    read->set_arguments_json(TakeString(function, "arguments"));
  }
  return absl::OkStatus();
}

absl::Status ReadMaxTokens(const Json& body, v1::GenerateRequest* request) {
  const int64_t old_name = IntegerOr(body, "max_tokens", 0);
  const int64_t new_name = IntegerOr(body, "max_completion_tokens", old_name);
  if (old_name != 0 && old_name != new_name) {
    return RequestError("invalid_value", "max_completion_tokens",
                        absl::StrCat("max_completion_tokens is ", new_name, " and max_tokens ", old_name,
                                     "; both must be the same, or one absent"));
  }
  if (new_name != 0) request->set_max_tokens(static_cast<int32_t>(new_name));
  return absl::OkStatus();
}

absl::Status ReadLogprobs(const Json& body, v1::GenerateRequest* request) {
  const bool wanted = BooleanOr(body, "logprobs", false);
  const int64_t top = IntegerOr(body, "top_logprobs", 0);
  if (top > 0 && !wanted) {
    return RequestError("invalid_value", "top_logprobs", "top_logprobs wants logprobs to be true");
  }
  if (wanted) request->set_logprobs(static_cast<int32_t>(top));
  if (Find(body, "prompt_logprobs") != nullptr) {
    request->set_prompt_logprobs(static_cast<int32_t>(IntegerOr(body, "prompt_logprobs", 0)));
  }
  return absl::OkStatus();
}

absl::Status ReadChoiceOfTools(Json& body, v1::GenerateRequest* request) {
  if (Find(body, "parallel_tool_calls") != nullptr) {
    request->set_parallel_tool_calls(BooleanOr(body, "parallel_tool_calls", true));
  }
  Json* const choice = Find(body, "tool_choice");
  if (choice == nullptr) return ReadToolChoice("auto", request);
  if (choice->is_string()) return ReadToolChoice(choice->get_ref<const std::string&>(), request);
  return ReadChosenFunction(TakeString(*Find(*choice, "function"), "name"), "tool_choice.function.name", request);
}

// reasoning_effort is short for the template's argument of that name.
void ReadTemplateArguments(const Json& body, v1::GenerateRequest* request) {
  Json arguments = Json::object();
  if (const Json* given = Find(body, "chat_template_kwargs"); given != nullptr) {
    // Where names that are not known are ignored, none of them may reach the template.
    const Shape& shape = *ChatShape().Find("chat_template_kwargs")->shape;
    for (const auto& [name, value] : given->items()) {
      if (!value.is_null() && shape.Find(name) != nullptr) arguments[name] = value;
    }
  }
  if (const Json* effort = Find(body, "reasoning_effort"); effort != nullptr) arguments["reasoning_effort"] = *effort;
  if (!arguments.empty()) request->set_template_arguments_json(WriteJson(arguments));
}

}  // namespace

absl::Status ReadConversation(Json& body, v1::GenerateRequest* request) {
  Json* const messages = Find(body, "messages");
  for (size_t i = 0; messages != nullptr && i < messages->size(); ++i) {
    HEADROOM_RETURN_IF_ERROR(ReadMessage((*messages)[i], absl::StrCat("messages[", i, "]"), request->add_messages()));
  }
  Json* const tools = Find(body, "tools");
  for (size_t i = 0; tools != nullptr && i < tools->size(); ++i) {
    Json& function = *Find((*tools)[i], "function");
    v1::Tool* const tool = request->add_tools();
    tool->set_name(TakeString(function, "name"));
    tool->set_description(TakeString(function, "description"));
    if (const Json* parameters = Find(function, "parameters"); parameters != nullptr) {
      tool->set_parameters_json(WriteJson(*parameters));
    }
  }
  request->set_continue_final_message(BooleanOr(body, "continue_final_message", false));
  if (Find(body, "add_generation_prompt") != nullptr) {
    request->set_add_generation_prompt(BooleanOr(body, "add_generation_prompt", true));
  }
  ReadTemplateArguments(body, request);
  return absl::OkStatus();
}

absl::Status ReadChatRequest(Json& body, const std::string& request_id, v1::GenerateRequest* request,
                             AnswerOptions* options) {
  request->set_model(TakeString(body, "model"));
  ReadExtensions(body, request_id, request);
  HEADROOM_RETURN_IF_ERROR(ReadConversation(body, request));
  HEADROOM_RETURN_IF_ERROR(ReadMaxTokens(body, request));
  HEADROOM_RETURN_IF_ERROR(ReadLogprobs(body, request));
  HEADROOM_RETURN_IF_ERROR(ReadSampling(body, request));
  HEADROOM_RETURN_IF_ERROR(ReadStop(body, request));
  HEADROOM_RETURN_IF_ERROR(ReadChoiceOfTools(body, request));
  request->set_n(static_cast<int32_t>(IntegerOr(body, "n", 1)));
  if (Find(body, "max_slice_nums") != nullptr) {
    request->set_max_slice_nums(static_cast<int32_t>(IntegerOr(body, "max_slice_nums", 1)));
  }
  if (Json* const format = Find(body, "response_format"); format != nullptr) {
    HEADROOM_RETURN_IF_ERROR(ReadResponseFormat(TakeString(*format, "type"), Find(*format, "json_schema"),
                                                "response_format.json_schema.schema", request));
  }
  ReadStreamOptions(body, options);
  return absl::OkStatus();
}

}  // namespace headroom::gateway::openai
