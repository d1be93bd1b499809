// What an absl::Status tells a program beside its code and text: why a request was refused, and when to come again.
// Travels as google.rpc.ErrorInfo and RetryInfo: payloads of the status, keyed by their type URL. No gRPC here:
// common/rpc/status.h carries them over it.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "common/refusal_reason.h"
#include "common/status.h"

namespace headroom {

struct ErrorDetails {
  std::string reason;  // a name of common/refusal_reason.h, or of a newer peer; empty: no ErrorInfo, and no refusal
  std::map<std::string, std::string> metadata = {};
  std::optional<std::chrono::milliseconds> retry_delay = {};  // empty: no RetryInfo
};

// How a request is refused before any work on it: the reason's code, the reason in the details. Only a reason that says
// that retrying helps has a `retry_delay`.
absl::Status RefusalError(RefusalReason reason, const std::string& message,
                          const std::map<std::string, std::string>& metadata = {},
                          std::optional<std::chrono::milliseconds> retry_delay = {});
// The reason that `status` was refused with; empty when it is no refusal, or has a reason that this version does not
// know.
std::optional<RefusalReason> ReasonOf(const absl::Status& status);

// `status` with the details attached; an OK status stays as it is.
absl::Status WithDetails(absl::Status status, const ErrorDetails& details);
// What is attached; empty fields where nothing is.
ErrorDetails GetDetails(const absl::Status& status);

// The same with `prefix` before its message; details stay.
absl::Status WithPrefix(const std::string& prefix, const absl::Status& status);

}  // namespace headroom
