#include "gateway/attempts.h"

#include <utility>

#include "common/error_details.h"

namespace headroom::gateway {
namespace {

// Refusals of workers that had not begun with the request. A rollout makes one or two.
constexpr int kRefusalsMax = 3;

}  // namespace

absl::Status Attempts::Failed(const admission::Leg& leg, absl::Status status, bool accepted) {
  failed_worker_ = leg.worker;
  failure_reason_ = ReasonOf(status);
  touched_ = accepted && GetDetails(status).reason.empty();
  return status;
}

bool Attempts::Move(const absl::Status& status, bool decoding) {
  if (!absl::IsUnavailable(status) || failed_worker_.empty()) return false;
  const bool may = touched_ ? decoding && ++losses_ <= 1 : ++refusals_ <= kRefusalsMax;
  // A grant of a scheduler that has restarted since is refused by a worker that is well.
  if (may && failure_reason_ != RefusalReason::kGrantNotValid) excluded_.push_back(failed_worker_);
  return may;
}

}  // namespace headroom::gateway
