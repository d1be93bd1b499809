// How a worker refuses a request that it has not begun with (common/rpc/status.h, RefusalError): the reason in the
// status's details tells the gateway that the request may go elsewhere with a new grant (gateway/pipeline.cc).
#pragma once

#include "absl/status/status.h"

namespace headroom::worker {

// What the gate (admission/worker_gate.h) says of fences and room as a refusal; caller errors stay as they are.
absl::Status GateRefusal(const absl::Status& status);

}  // namespace headroom::worker
