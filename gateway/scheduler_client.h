// Blocking calls to the scheduler, for threads that are no request's: grant keeper, cluster view, questions about the
// past. Requests ask through gateway/peers.h. Results are absl::Status (common/rpc/status.h).
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "common/rpc/channel_directory.h"
#include "common/status.h"
#include "headroom/v1/scheduler.grpc.pb.h"

namespace headroom::gateway {

class SchedulerClient {
 public:
  SchedulerClient(rpc::ChannelDirectory& channels, std::string endpoint)
      : channels_(channels), endpoint_(std::move(endpoint)) {}

  absl::StatusOr<v1::ClusterState> GetClusterState(std::chrono::milliseconds timeout);
  absl::StatusOr<v1::GetHistoryResponse> GetHistory(const v1::GetHistoryRequest& request,
                                                    std::chrono::milliseconds timeout);
  absl::StatusOr<v1::GetRefusalsResponse> GetRefusals(const v1::GetRefusalsRequest& request,
                                                      std::chrono::milliseconds timeout);
  absl::StatusOr<v1::RenewResponse> Renew(const v1::RenewRequest& request, std::chrono::milliseconds timeout);
  absl::Status Void(const v1::VoidRequest& request, std::chrono::milliseconds timeout);

 private:
  absl::StatusOr<std::unique_ptr<v1::Scheduler::Stub>> Stub();

  rpc::ChannelDirectory& channels_;
  const std::string endpoint_;
};

}  // namespace headroom::gateway
