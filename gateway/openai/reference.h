// The field table and the table of addresses, for people and for programs.
#pragma once

#include <string>

#include "gateway/openai/json.h"

namespace headroom::gateway::openai {

// docs/openai-api.md (`headroom api`).
std::string ApiReference();
// OpenAPI 3.1, at /openapi.json.
Json OpenApi(const std::string& version);

}  // namespace headroom::gateway::openai
