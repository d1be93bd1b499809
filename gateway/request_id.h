// Ids by which logs, refusals and clients name a request.
#pragma once

#include <string>

#include "common/status.h"

namespace headroom::gateway {

// Of an id that a client gives: empty, or fit for logs and headers. INVALID_ARGUMENT.
absl::Status CheckRequestId(const std::string& given);
// As the client gave it; 128 random bits where it gave none, or one that is not fit.
std::string RequestIdFor(const std::string& given);

}  // namespace headroom::gateway
