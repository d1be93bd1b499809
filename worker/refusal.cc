#include "worker/refusal.h"

#include <string>

#include "common/rpc/status.h"

namespace headroom::worker {

absl::Status Refuse(const absl::Status& status, const char* reason) {
  return rpc::WithDetails(absl::UnavailableError(std::string(status.message())),
                          {.reason = reason, .metadata = {}, .retry_delay = {}});
}

absl::Status GateRefusal(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kAborted:
      return Refuse(status, "GRANT_NOT_VALID");
    case absl::StatusCode::kResourceExhausted:
      return Refuse(status, "NO_ROOM");
    case absl::StatusCode::kUnavailable:
      return Refuse(status, "NOT_READY");
    default:
      return status;
  }
}

}  // namespace headroom::worker
