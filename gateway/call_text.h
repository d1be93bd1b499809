// Tools: the JSON Schema that makes a model call one, and calls read from the text that it wrote.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/status.h"
#include "headroom/v1/gateway.pb.h"

namespace headroom::gateway {

// One call as a model wrote it.
struct WrittenCall {
  std::string name;
  std::string arguments_json;  // an object
};

// {"name": …, "arguments" or "parameters": …}; nothing when it is none.
std::optional<WrittenCall> ReadCall(std::string_view json);
// A list of such, or name[ARGS]{arguments} once or more, as Mistral's models write them; empty when it is none.
std::vector<WrittenCall> ReadCallList(std::string_view text);

// Where request.tool_choice leaves the model no way but a call: the JSON Schema of all that it may write. One function:
// its arguments; else {"name", "arguments"} of any tool. INVALID_ARGUMENT when it names a tool that is not there, there
// are none, or the parameters of one are no JSON object.
absl::StatusOr<std::optional<std::string>> ForcedCallSchema(const v1::GenerateRequest& request);

}  // namespace headroom::gateway
