// Blocking calls to the scheduler, for threads that are no request's: grant keeper, cluster view, questions about the
// past. Requests ask through gateway/peers.h. Errors are those of the scheduler (common/error_details.h).
#pragma once

#include <chrono>

#include "common/status.h"
#include "headroom/v1/scheduler.pb.h"

namespace headroom::gateway {

// Thread-safe. DEADLINE_EXCEEDED after `timeout`.
class SchedulerClient {
 public:
  virtual ~SchedulerClient() = default;

  virtual absl::StatusOr<v1::ClusterState> GetClusterState(std::chrono::milliseconds timeout) = 0;
  virtual absl::StatusOr<v1::GetHistoryResponse> GetHistory(const v1::GetHistoryRequest& request,
                                                            std::chrono::milliseconds timeout) = 0;
  virtual absl::StatusOr<v1::GetRefusalsResponse> GetRefusals(const v1::GetRefusalsRequest& request,
                                                              std::chrono::milliseconds timeout) = 0;
  virtual absl::StatusOr<v1::RenewResponse> Renew(const v1::RenewRequest& request,
                                                  std::chrono::milliseconds timeout) = 0;
  virtual absl::Status Void(const v1::VoidRequest& request, std::chrono::milliseconds timeout) = 0;
};

}  // namespace headroom::gateway
