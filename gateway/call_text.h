// Tools: the JSON Schema that makes a model call one, and calls read from the text that it wrote.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/status.h"
#include "gateway/answer_syntax.h"
#include "headroom/v1/gateway.pb.h"

namespace headroom::gateway {

// One call as a model wrote it.
struct WrittenCall {
  std::string name;
  std::string arguments_json;  // an object
  std::string id = {};         // where the model gives one
};

// {"name": …, "arguments" or "parameters": …}; nothing when it is none.
std::optional<WrittenCall> ReadCall(std::string_view json);
// A list of such, or name[ARGS]{arguments} once or more, as Mistral's models write them; empty when it is none.
std::vector<WrittenCall> ReadCallList(std::string_view text);

// Calls, each between marks of its own: the function's name, the separator and the arguments (DeepSeek-V3.1), or
// "functions.NAME:NUMBER", which is the call's id, before the separator (Kimi), or the name behind it and the arguments
// in a fenced block (DeepSeek-V3). Empty when one is none.
std::vector<WrittenCall> ReadCallSection(std::string_view text, const CallMarks& marks);

// Whether request.tool_choice leaves the model no way but a call.
bool IsForced(const v1::ToolChoice& choice);
// Of a forced choice with one tool to call: its index. -1: there are several, or it is not there.
int ForcedTool(const v1::GenerateRequest& request);
// The JSON Schema of all that a model may write that is forced to call. One tool: its arguments, an object; else
// {"name", "arguments"} of any. INVALID_ARGUMENT when the tool is not there, there are none, two have the same name, or
// the parameters of one are no JSON object, or of another type than object.
absl::StatusOr<std::optional<std::string>> ForcedCallSchema(const v1::GenerateRequest& request);

}  // namespace headroom::gateway
