#include "gateway/call_text.h"

#include <nlohmann/json.hpp>

#include "common/json_depth.h"
#include "common/utf8.h"

namespace headroom::gateway {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kDepthMax = 64;  // values are written by recursion

// A text of the model or a client: never an exception. What nests deeper is discarded, as what is no JSON.
Json Parse(std::string_view text) {
  if (JsonNestsDeeper(text, kDepthMax)) return Json(Json::value_t::discarded);
  return Json::parse(text, nullptr, /*allow_exceptions=*/false);
}

std::string Write(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

// Some models write the object as a string.
std::optional<std::string> Arguments(const Json& written) {
  if (written.is_null()) return "{}";
  if (written.is_string() && Parse(written.get_ref<const std::string&>()).is_object())
    return written.get<std::string>();
  return written.is_object() ? std::optional(Write(written)) : std::nullopt;
}

std::optional<WrittenCall> ToCall(const Json& json) {
  if (!json.is_object()) return std::nullopt;
  const auto name = json.find("name");
  if (name == json.end() || !name->is_string()) return std::nullopt;
  auto arguments = json.find("arguments");
  if (arguments == json.end()) arguments = json.find("parameters");
  const std::optional<std::string> text = Arguments(arguments == json.end() ? Json() : *arguments);
  if (!text) return std::nullopt;
  return WrittenCall{name->get<std::string>(), *text};
}

// name[ARGS]{…}, possibly [TOOL_CALLS] and the next.
std::vector<WrittenCall> ReadNamed(std::string_view text) {
  constexpr std::string_view kArguments = "[ARGS]";
  constexpr std::string_view kNext = "[TOOL_CALLS]";
  std::vector<WrittenCall> calls;
  while (!text.empty()) {
    const size_t at = text.find(kArguments);
    if (at == std::string_view::npos) return {};
    const size_t begin = at + kArguments.size();
    const size_t end = std::min(text.find(kNext, begin), text.size());
    const Json arguments = Parse(text.substr(begin, end - begin));
    if (!arguments.is_object()) return {};
    calls.push_back({std::string(TrimWhiteSpace(text.substr(0, at))), Write(arguments)});
    text.remove_prefix(std::min(end + kNext.size(), text.size()));
  }
  return calls;
}

// References within the parameters of a tool, which move to `root` of the whole schema.
void MoveReferences(Json& schema, const std::string& root) {
  if (schema.is_array()) {
    for (Json& entry : schema) MoveReferences(entry, root);
  }
  if (!schema.is_object()) return;
  for (auto& [name, value] : schema.items()) {
    if (name == "$ref" && value.is_string()) {
      const std::string target = value.get<std::string>();
      if (target.starts_with("#")) value = root + target.substr(1);
    } else {
      MoveReferences(value, root);
    }
  }
}

absl::StatusOr<Json> Parameters(const v1::Tool& tool) {
  if (tool.parameters_json().empty()) return Json{{"type", "object"}, {"additionalProperties", false}};
  Json schema = Parse(tool.parameters_json());
  if (schema.is_object()) return schema;
  return absl::InvalidArgumentError(
      absl::StrCat("tool '", CutText(tool.name(), 64), "': its parameters are no JSON object"));
}

absl::StatusOr<std::string> SchemaOfAny(const v1::GenerateRequest& request) {
  Json schema = {{"anyOf", Json::array()}, {"$defs", Json::object()}};
  for (int i = 0; i < request.tools_size(); ++i) {
    HEADROOM_ASSIGN_OR_RETURN(Json parameters, Parameters(request.tools(i)));
    const std::string root = absl::StrCat("#/$defs/tool", i);
    MoveReferences(parameters, root);
    schema["$defs"][absl::StrCat("tool", i)] = std::move(parameters);
    schema["anyOf"].push_back(
        {{"type", "object"},
         {"properties", {{"name", {{"const", request.tools(i).name()}}}, {"arguments", {{"$ref", root}}}}},
         {"required", {"name", "arguments"}},
         {"additionalProperties", false}});
  }
  return Write(schema);
}

}  // namespace

std::optional<WrittenCall> ReadCall(std::string_view json) { return ToCall(Parse(json)); }

std::vector<WrittenCall> ReadCallList(std::string_view text) {
  const Json list = Parse(text);
  if (list.is_discarded()) return ReadNamed(text);
  std::vector<WrittenCall> calls;
  for (const Json& entry : list) {
    std::optional<WrittenCall> call = ToCall(entry);
    if (!call) return {};
    calls.push_back(*std::move(call));
  }
  return calls;
}

absl::StatusOr<std::optional<std::string>> ForcedCallSchema(const v1::GenerateRequest& request) {
  const v1::ToolChoice& choice = request.tool_choice();
  if (choice.mode() != v1::ToolChoice::REQUIRED && choice.function().empty()) return std::nullopt;
  if (choice.function().empty()) {
    if (request.tools().empty()) return absl::InvalidArgumentError("tool_choice is REQUIRED, and there are no tools");
    HEADROOM_ASSIGN_OR_RETURN(std::string schema, SchemaOfAny(request));
    return schema;
  }
  for (const v1::Tool& tool : request.tools()) {
    if (tool.name() != choice.function()) continue;
    HEADROOM_ASSIGN_OR_RETURN(const Json parameters, Parameters(tool));
    return Write(parameters);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("tool_choice: no tool has the name '", CutText(choice.function(), 64), "'"));
}

}  // namespace headroom::gateway
