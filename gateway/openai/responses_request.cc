#include "gateway/openai/responses_request.h"

#include <algorithm>
#include <utility>

#include "gateway/openai/errors.h"
#include "gateway/openai/fields.h"
#include "gateway/openai/request_parts.h"

namespace headroom::gateway::openai {
namespace {

absl::Status Missing(const std::string& param) {
  return RequestError("missing_required_parameter", param, param + " is missing");
}

Json OrNull(const Json& body, const char* name, const Json& otherwise = nullptr) {
  const Json* const member = Find(body, name);
  return member == nullptr ? otherwise : *member;
}

absl::Status ReadPart(Json& part, const std::string& param, v1::Message* message) {
  const std::string type = TakeString(part, "type");
  if (type == "input_image") {
    Json* const image = Find(part, "image_url");
    if (image == nullptr) return Missing(param + ".image_url");
    return ReadImage(*image, TakeString(part, "detail"), param + ".image_url", message->add_content()->mutable_image());
  }
  const char* const member = type == "refusal" ? "refusal" : "text";
  if (Find(part, member) == nullptr) return Missing(param + "." + member);
  message->add_content()->set_text(TakeString(part, member));
  return absl::OkStatus();
}

absl::Status ReadContent(Json& content, const std::string& param, v1::Message* message) {
  if (content.is_string()) {
    message->add_content()->set_text(std::move(content.get_ref<std::string&>()));
    return absl::OkStatus();
  }
  for (size_t i = 0; i < content.size(); ++i) {
    HEADROOM_RETURN_IF_ERROR(ReadPart(content[i], absl::StrCat(param, "[", i, "]"), message));
  }
  return absl::OkStatus();
}

// The assistant's message that a call belongs to: the last one, if nobody has spoken since.
v1::Message* CallingMessage(v1::GenerateRequest* request) {
  const int last = request->messages_size() - 1;
  if (last >= 0 && request->messages(last).role() == "assistant") return request->mutable_messages(last);
  v1::Message* const message = request->add_messages();
  message->set_role("assistant");
  return message;
}

absl::Status ReadItem(Json& item, const std::string& param, v1::GenerateRequest* request) {
  std::string type = TakeString(item, "type");
  if (type.empty()) type = "message";
  if (type == "reasoning") return absl::OkStatus();
  if (type == "function_call") {
    v1::ToolCall* const call = CallingMessage(request)->add_tool_calls();
    call->set_id(TakeString(item, "call_id"));
    call->set_name(TakeString(item, "name"));
    call->set_arguments_json(TakeString(item, "arguments"));
    return absl::OkStatus();
  }
  const bool result = type == "function_call_output";
  const char* const member = result ? "output" : "content";
  Json* const content = Find(item, member);
  if (content == nullptr) return Missing(absl::StrCat(param, ".", member));
  v1::Message* const message = request->add_messages();
  message->set_role(result ? "tool" : TakeString(item, "role"));
  if (result) message->set_tool_call_id(TakeString(item, "call_id"));
  if (message->role().empty()) return Missing(param + ".role");
  return ReadContent(*content, absl::StrCat(param, ".", member), message);
}

absl::Status ReadInput(Json& body, v1::GenerateRequest* request) {
  if (std::string instructions = TakeString(body, "instructions"); !instructions.empty()) {
    v1::Message* const message = request->add_messages();
    message->set_role("system");
    message->add_content()->set_text(std::move(instructions));
  }
  Json& input = *Find(body, "input");
  if (input.is_array()) {
    for (size_t i = 0; i < input.size(); ++i) {
      HEADROOM_RETURN_IF_ERROR(ReadItem(input[i], absl::StrCat("input[", i, "]"), request));
    }
    return absl::OkStatus();
  }
  v1::Message* const message = request->add_messages();
  message->set_role("user");
  return ReadContent(input, "input", message);
}

absl::Status ReadTools(Json& body, v1::GenerateRequest* request) {
  Json* const tools = Find(body, "tools");
  for (size_t i = 0; tools != nullptr && i < tools->size(); ++i) {
    Json& json = (*tools)[i];
    v1::Tool* const tool = request->add_tools();
    tool->set_name(TakeString(json, "name"));
    if (tool->name().empty()) return Missing(absl::StrCat("tools[", i, "].name"));
    tool->set_description(TakeString(json, "description"));
    if (const Json* parameters = Find(json, "parameters"); parameters != nullptr) {
      tool->set_parameters_json(WriteJson(*parameters));
    }
  }
  if (Find(body, "parallel_tool_calls") != nullptr) {
    request->set_parallel_tool_calls(BooleanOr(body, "parallel_tool_calls", true));
  }
  Json* const choice = Find(body, "tool_choice");
  if (choice == nullptr) return ReadToolChoice("auto", request);
  if (choice->is_string()) return ReadToolChoice(choice->get_ref<const std::string&>(), request);
  return ReadChosenFunction(TakeString(*choice, "name"), "tool_choice.name", request);
}

Json Echo(const Json& body) {
  return {{"instructions", OrNull(body, "instructions")},
          {"max_output_tokens", OrNull(body, "max_output_tokens")},
          {"metadata", OrNull(body, "metadata", Json::object())},
          {"parallel_tool_calls", OrNull(body, "parallel_tool_calls", true)},
          {"previous_response_id", nullptr},
          {"reasoning", OrNull(body, "reasoning", {{"effort", nullptr}, {"summary", nullptr}})},
          {"service_tier", "default"},
          {"store", false},
          {"temperature", OrNull(body, "temperature")},
          {"text", OrNull(body, "text", {{"format", {{"type", "text"}}}})},
          {"tool_choice", OrNull(body, "tool_choice", "auto")},
          {"tools", OrNull(body, "tools", Json::array())},
          {"top_p", OrNull(body, "top_p")},
          {"truncation", "disabled"}};
}

}  // namespace

absl::Status ReadResponsesRequest(Json& body, const std::string& request_id, v1::GenerateRequest* request,
                                  ResponsesOptions* options) {
  options->stream = BooleanOr(body, "stream", false);
  options->echo = Echo(body);
  request->set_model(TakeString(body, "model"));
  ReadExtensions(body, request_id, request);
  HEADROOM_RETURN_IF_ERROR(ReadInput(body, request));
  HEADROOM_RETURN_IF_ERROR(ReadTools(body, request));
  HEADROOM_RETURN_IF_ERROR(ReadSampling(body, request));
  request->set_n(1);
  if (const int64_t most = IntegerOr(body, "max_output_tokens", 0); most != 0) {
    request->set_max_tokens(static_cast<int32_t>(most));
  }
  const Json include = OrNull(body, "include", Json::array());
  if (std::find(include.begin(), include.end(), Json("message.output_text.logprobs")) != include.end() ||
      Find(body, "top_logprobs") != nullptr) {
    request->set_logprobs(static_cast<int32_t>(IntegerOr(body, "top_logprobs", 0)));
  }
  if (const Json* reasoning = Find(body, "reasoning"); reasoning != nullptr && Find(*reasoning, "effort") != nullptr) {
    request->set_template_arguments_json(WriteJson({{"reasoning_effort", *Find(*reasoning, "effort")}}));
  }
  Json* const text = Find(body, "text");
  Json* const format = text == nullptr ? nullptr : Find(*text, "format");
  if (format == nullptr) return absl::OkStatus();
  return ReadResponseFormat(TakeString(*format, "type"), format, "text.format.schema", request);
}

}  // namespace headroom::gateway::openai
