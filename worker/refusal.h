// How a worker refuses a request that it has not begun with. The reason in the status's details tells the gateway that
// the request may go elsewhere with a new grant (gateway/pipeline.cc).
#pragma once

#include "absl/status/status.h"

namespace headroom::worker {

// UNAVAILABLE with the message of `status` and `reason` as ErrorInfo.reason.
absl::Status Refuse(const absl::Status& status, const char* reason);

// What the gate (admission/worker_gate.h) says of fences and room as a refusal; caller errors stay as they are.
absl::Status GateRefusal(const absl::Status& status);

}  // namespace headroom::worker
