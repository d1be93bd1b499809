// SchedulerClient over gRPC.
#pragma once

#include <string>
#include <utility>

#include "common/rpc/channel_directory.h"
#include "gateway/scheduler_client.h"

namespace headroom::gateway {

class GrpcSchedulerClient : public SchedulerClient {
 public:
  // `channels` must outlive this.
  GrpcSchedulerClient(rpc::ChannelDirectory& channels, std::string endpoint)
      : channels_(channels), endpoint_(std::move(endpoint)) {}

  absl::StatusOr<v1::ClusterState> GetClusterState(std::chrono::milliseconds timeout) override;
  absl::StatusOr<v1::GetHistoryResponse> GetHistory(const v1::GetHistoryRequest& request,
                                                    std::chrono::milliseconds timeout) override;
  absl::StatusOr<v1::GetRefusalsResponse> GetRefusals(const v1::GetRefusalsRequest& request,
                                                      std::chrono::milliseconds timeout) override;
  absl::StatusOr<v1::RenewResponse> Renew(const v1::RenewRequest& request, std::chrono::milliseconds timeout) override;
  absl::Status Void(const v1::VoidRequest& request, std::chrono::milliseconds timeout) override;

 private:
  template <typename Method, typename Request, typename Response>
  absl::Status Call(Method method, const Request& request, Response* response, std::chrono::milliseconds timeout);

  rpc::ChannelDirectory& channels_;
  const std::string endpoint_;
};

}  // namespace headroom::gateway
