// absl::Status inside, grpc::Status at the edge: translated here and nowhere else.
//
// Machine-readable details travel as google.rpc.ErrorInfo and RetryInfo: as payloads of the absl::Status (keyed by
// their type URL) and in gRPC's `grpc-status-details-bin` trailer.
#pragma once

#include <grpcpp/support/status.h>

#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "common/status.h"

namespace headroom::rpc {

struct ErrorDetails {
  std::string reason;  // UPPER_SNAKE_CASE; empty: no ErrorInfo
  std::map<std::string, std::string> metadata = {};
  std::optional<std::chrono::milliseconds> retry_delay = {};  // empty: no RetryInfo
};

// `status` with the details attached; an OK status stays as it is.
absl::Status WithDetails(absl::Status status, const ErrorDetails& details);
// What is attached; empty fields where nothing is.
ErrorDetails GetDetails(const absl::Status& status);

// The same with `prefix` before its message; details stay.
absl::Status WithPrefix(const std::string& prefix, const absl::Status& status);

grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace headroom::rpc
