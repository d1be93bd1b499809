#include "gateway/grpc_scheduler_client.h"

#include <grpcpp/client_context.h>

#include "common/rpc/status.h"
#include "headroom/v1/scheduler.grpc.pb.h"

namespace headroom::gateway {

using Stub = v1::Scheduler::Stub;

template <typename Method, typename Request, typename Response>
absl::Status GrpcSchedulerClient::Call(Method method, const Request& request, Response* response,
                                       std::chrono::milliseconds timeout) {
  HEADROOM_ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, channels_.Get(endpoint_));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  return rpc::FromGrpc((Stub(channel).*method)(&context, request, response));
}

absl::StatusOr<v1::ClusterState> GrpcSchedulerClient::GetClusterState(std::chrono::milliseconds timeout) {
  v1::ClusterState response;
  HEADROOM_RETURN_IF_ERROR(Call(&Stub::GetClusterState, v1::GetClusterStateRequest(), &response, timeout));
  return response;
}

absl::StatusOr<v1::GetHistoryResponse> GrpcSchedulerClient::GetHistory(const v1::GetHistoryRequest& request,
                                                                       std::chrono::milliseconds timeout) {
  v1::GetHistoryResponse response;
  HEADROOM_RETURN_IF_ERROR(Call(&Stub::GetHistory, request, &response, timeout));
  return response;
}

absl::StatusOr<v1::GetRefusalsResponse> GrpcSchedulerClient::GetRefusals(const v1::GetRefusalsRequest& request,
                                                                         std::chrono::milliseconds timeout) {
  v1::GetRefusalsResponse response;
  HEADROOM_RETURN_IF_ERROR(Call(&Stub::GetRefusals, request, &response, timeout));
  return response;
}

absl::StatusOr<v1::RenewResponse> GrpcSchedulerClient::Renew(const v1::RenewRequest& request,
                                                             std::chrono::milliseconds timeout) {
  v1::RenewResponse response;
  HEADROOM_RETURN_IF_ERROR(Call(&Stub::Renew, request, &response, timeout));
  return response;
}

absl::Status GrpcSchedulerClient::Void(const v1::VoidRequest& request, std::chrono::milliseconds timeout) {
  v1::VoidResponse response;
  return Call(&Stub::Void, request, &response, timeout);
}

}  // namespace headroom::gateway
