// Bodies of /v1/responses, from JSON to the protocol. Stateless: the whole conversation is in the request.
#pragma once

#include <string>

#include "gateway/openai/json.h"
#include "headroom/v1/gateway.pb.h"

namespace headroom::gateway::openai {

struct ResponsesOptions {
  bool stream = false;
  // What a response repeats of its request: instructions, tools, tool_choice, text, temperature and the like.
  Json echo;
};

// `body` is checked (ResponsesShape) and gives its strings away. INVALID_ARGUMENT with the field's path (errors.h).
absl::Status ReadResponsesRequest(Json& body, const std::string& request_id, v1::GenerateRequest* request,
                                  ResponsesOptions* options);

}  // namespace headroom::gateway::openai
