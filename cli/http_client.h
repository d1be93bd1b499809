// One POST to a server on plain HTTP/1.1, for `headroom ask --url`.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "common/status.h"

namespace headroom::cli {

// http://HOST[:PORT][/BASE]
struct HttpUrl {
  std::string host;
  std::string port = "80";
  std::string base;  // "" or "/…" without a slash at its end
};
absl::StatusOr<HttpUrl> ParseHttpUrl(const std::string& url);

// Sends `json` to url.base + path. `on_body` gets the body as it comes, after the status is known. UNAVAILABLE when the
// server cannot be reached or breaks off, DEADLINE_EXCEEDED when it is silent for `silence_max`. Returns the status.
absl::StatusOr<int> PostJson(const HttpUrl& url, const std::string& path, const std::string& json,
                             std::optional<std::chrono::milliseconds> silence_max,
                             const std::function<void(int status, std::string_view bytes)>& on_body);

}  // namespace headroom::cli
