#include "worker/refusal.h"

#include <string>

#include "common/error_details.h"

namespace headroom::worker {

absl::Status GateRefusal(const absl::Status& status) {
  const std::string message(status.message());
  switch (status.code()) {
    case absl::StatusCode::kAborted:
      return RefusalError(RefusalReason::kGrantNotValid, message);
    case absl::StatusCode::kResourceExhausted:
      return RefusalError(RefusalReason::kNoRoom, message);
    case absl::StatusCode::kUnavailable:
      return RefusalError(RefusalReason::kNotReady, message);
    default:
      return status;
  }
}

}  // namespace headroom::worker
