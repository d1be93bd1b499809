#include "gateway/host_budget.h"

#include "gateway/own_refusals.h"

namespace headroom::gateway {
namespace {

constexpr char kBudget[] = "gateway_host_bytes";

}  // namespace

absl::StatusOr<HostBudget::Share> HostBudget::Take(int64_t bytes) {
  if (bytes > capacity_bytes_) {
    return OwnRefusal(
        RefusalReason::kNeverFits,
        absl::StrCat("the request needs ", bytes, " bytes of the gateway's memory; the limit is ", capacity_bytes_),
        admission::Shortfall{kBudget, "", bytes, capacity_bytes_, capacity_bytes_});
  }
  std::lock_guard lock(mutex_);
  const int64_t free_bytes = capacity_bytes_ - used_bytes_;
  if (bytes > free_bytes) {
    return OwnRefusal(
        RefusalReason::kGatewayFull,
        absl::StrCat("the gateway's host memory is full: ", bytes, " bytes needed, ", free_bytes, " free"),
        admission::Shortfall{kBudget, "", bytes, free_bytes, capacity_bytes_}, std::chrono::seconds(1));
  }
  used_bytes_ += bytes;
  return Share(this, bytes);
}

}  // namespace headroom::gateway
