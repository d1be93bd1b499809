#include "gateway/host_budget.h"

#include "common/rpc/status.h"

namespace headroom::gateway {

absl::StatusOr<HostBudget::Share> HostBudget::Take(int64_t bytes) {
  if (bytes > capacity_bytes_) {
    return absl::InvalidArgumentError(
        absl::StrCat("the images of the request are ", bytes, " bytes; the limit is ", capacity_bytes_));
  }
  std::lock_guard lock(mutex_);
  const int64_t free_bytes = capacity_bytes_ - used_bytes_;
  if (bytes > free_bytes) {
    return rpc::WithDetails(
        absl::ResourceExhaustedError(
            absl::StrCat("the gateway's host memory is full: ", bytes, " bytes needed, ", free_bytes, " free")),
        {.reason = "GATEWAY_FULL", .metadata = {{"budget", "host_bytes"}}, .retry_delay = std::chrono::seconds(1)});
  }
  used_bytes_ += bytes;
  return Share(this, bytes);
}

}  // namespace headroom::gateway
