// Bodies of /v1/chat/completions, from JSON to the protocol.
#pragma once

#include <string>

#include "gateway/openai/json.h"
#include "gateway/openai/request_parts.h"
#include "headroom/v1/gateway.pb.h"

namespace headroom::gateway::openai {

// `body` is checked (ChatShape) and gives its strings away. INVALID_ARGUMENT with the field's path (errors.h).
absl::Status ReadChatRequest(Json& body, const std::string& request_id, v1::GenerateRequest* request,
                             AnswerOptions* options);

// "messages" and "tools" of a body alone.
absl::Status ReadConversation(Json& body, v1::GenerateRequest* request);

}  // namespace headroom::gateway::openai
