// `headroom ask --url`: the same question over the HTTP API, of this server or of any that speaks OpenAI's.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "common/status.h"
#include "headroom/v1/gateway.pb.h"

namespace headroom::cli {

// `on_text` gets the answer as it comes; what came of usage and reason is in the result. Errors have the words of the
// server.
absl::StatusOr<v1::Finish> AskOverHttp(const std::string& url, const std::string& model,
                                       const v1::GenerateRequest& request,
                                       std::optional<std::chrono::milliseconds> silence_max,
                                       const std::function<void(const std::string&)>& on_text);

}  // namespace headroom::cli
