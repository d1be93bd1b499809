#include "gateway/call_text.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "common/field_error.h"
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

// What stands before and behind the separator.
std::optional<WrittenCall> ReadMarked(std::string_view head, std::string_view rest) {
  head = TrimWhiteSpace(head);
  rest = TrimWhiteSpace(rest);
  WrittenCall call{.name = std::string(head), .arguments_json = {}};
  constexpr std::string_view kFunctions = "functions.";
  if (const size_t number = head.rfind(':'); head.starts_with(kFunctions) && number != std::string_view::npos) {
    call.id = head;
    call.name = head.substr(kFunctions.size(), number - kFunctions.size());
  }
  if (!rest.starts_with('{')) {
    const size_t line = std::min(rest.find('\n'), rest.size());
    call.name = TrimWhiteSpace(rest.substr(0, line));
    const size_t begin = rest.find('{', line);
    const size_t end = rest.rfind('}');
    if (begin == std::string_view::npos || end == std::string_view::npos || end < begin) return std::nullopt;
    rest = rest.substr(begin, end - begin + 1);
  }
  const Json arguments = Parse(rest);
  if (!arguments.is_object() || call.name.empty()) return std::nullopt;
  call.arguments_json = Write(arguments);
  return call;
}

// Members of a schema whose members are schemas under names of the caller's, and those that are no schemas.
constexpr std::string_view kNamed[] = {"properties",  "patternProperties", "$defs",
                                       "definitions", "dependentSchemas",  "dependencies"};
constexpr std::string_view kValues[] = {"const", "enum", "default", "examples", "example"};

// References within the parameters of a tool, which move to `root` of the whole schema.
void MoveReferences(Json& schema, const std::string& root) {
  if (schema.is_array()) {
    for (Json& entry : schema) MoveReferences(entry, root);
  }
  if (!schema.is_object()) return;
  for (auto& [name, value] : schema.items()) {
    if (std::ranges::find(kValues, name) != std::end(kValues)) continue;
    if (name == "$ref" && value.is_string()) {
      const std::string target = value.get<std::string>();
      if (target.starts_with("#")) value = root + target.substr(1);
    } else if (std::ranges::find(kNamed, name) != std::end(kNamed) && value.is_object()) {
      for (auto& [key, named] : value.items()) MoveReferences(named, root);
    } else {
      MoveReferences(value, root);
    }
  }
}

// Of the arguments, which are an object whether the schema says so or not.
absl::StatusOr<Json> Parameters(const v1::GenerateRequest& request, int index) {
  const std::string& text = request.tools(index).parameters_json();
  if (text.empty()) return Json{{"type", "object"}, {"additionalProperties", false}};
  const auto wrong = [&](const char* what) {
    return FieldError(absl::StrCat("tools[", index, "].parameters_json"), absl::InvalidArgumentError(what));
  };
  Json schema = Parse(text);
  if (!schema.is_object()) return wrong("is no JSON object, or nests deeper than 64");
  const auto type = schema.find("type");
  if (type == schema.end()) {
    schema["type"] = "object";
  } else if (*type != "object") {
    return wrong("its type must be object");
  }
  return schema;
}

absl::StatusOr<std::string> SchemaOfAny(const v1::GenerateRequest& request) {
  Json schema = {{"anyOf", Json::array()}, {"$defs", Json::object()}};
  std::set<std::string> names;
  for (int i = 0; i < request.tools_size(); ++i) {
    const std::string& name = request.tools(i).name();
    if (!names.insert(name).second) {
      return FieldError(absl::StrCat("tools[", i, "].name"),
                        absl::InvalidArgumentError(absl::StrCat("'", CutText(name, 64), "' is a tool before it")));
    }
    HEADROOM_ASSIGN_OR_RETURN(Json parameters, Parameters(request, i));
    const std::string root = absl::StrCat("#/$defs/tool", i);
    MoveReferences(parameters, root);
    schema["$defs"][absl::StrCat("tool", i)] = std::move(parameters);
    schema["anyOf"].push_back({{"type", "object"},
                               {"properties", {{"name", {{"const", name}}}, {"arguments", {{"$ref", root}}}}},
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

std::vector<WrittenCall> ReadCallSection(std::string_view text, const CallMarks& marks) {
  std::vector<WrittenCall> calls;
  for (size_t at = 0; (at = text.find(marks.begin, at)) != std::string_view::npos;) {
    at += marks.begin.size();
    const size_t end = std::min(text.find(marks.end, at), text.size());
    const std::string_view one = text.substr(at, end - at);
    const size_t separator = one.find(marks.separator);
    if (separator == std::string_view::npos) return {};
    std::optional<WrittenCall> call =
        ReadMarked(one.substr(0, separator), one.substr(separator + marks.separator.size()));
    if (!call) return {};
    calls.push_back(*std::move(call));
    at = end;
  }
  return calls;
}

bool IsForced(const v1::ToolChoice& choice) {
  return choice.mode() == v1::ToolChoice::REQUIRED || !choice.function().empty();
}

int ForcedTool(const v1::GenerateRequest& request) {
  const std::string& function = request.tool_choice().function();
  if (function.empty()) return request.tools_size() == 1 ? 0 : -1;
  for (int i = 0; i < request.tools_size(); ++i) {
    if (request.tools(i).name() == function) return i;
  }
  return -1;
}

absl::StatusOr<std::optional<std::string>> ForcedCallSchema(const v1::GenerateRequest& request) {
  const v1::ToolChoice& choice = request.tool_choice();
  if (!IsForced(choice)) return std::nullopt;
  const auto wrong = [](const std::string& what) {
    return FieldError("tool_choice", absl::InvalidArgumentError(what));
  };
  if (request.tools().empty()) return wrong("forces a call, and there are no tools");
  if (const int only = ForcedTool(request); only >= 0) {
    HEADROOM_ASSIGN_OR_RETURN(const Json parameters, Parameters(request, only));
    return Write(parameters);
  }
  if (choice.function().empty()) return SchemaOfAny(request);
  return wrong(absl::StrCat("no tool has the name '", CutText(choice.function(), 64), "'"));
}

}  // namespace headroom::gateway
