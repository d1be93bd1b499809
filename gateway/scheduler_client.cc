#include "gateway/scheduler_client.h"

#include <grpcpp/client_context.h>

#include "common/rpc/status.h"

namespace headroom::gateway {

absl::StatusOr<std::unique_ptr<v1::Scheduler::Stub>> SchedulerClient::Stub() {
  HEADROOM_ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, channels_.Get(endpoint_));
  return v1::Scheduler::NewStub(channel);
}

absl::StatusOr<v1::ClusterState> SchedulerClient::GetClusterState(std::chrono::milliseconds timeout) {
  HEADROOM_ASSIGN_OR_RETURN(auto stub, Stub());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  v1::ClusterState response;
  HEADROOM_RETURN_IF_ERROR(rpc::FromGrpc(stub->GetClusterState(&context, v1::GetClusterStateRequest(), &response)));
  return response;
}

absl::StatusOr<v1::GetHistoryResponse> SchedulerClient::GetHistory(const v1::GetHistoryRequest& request,
                                                                   std::chrono::milliseconds timeout) {
  HEADROOM_ASSIGN_OR_RETURN(auto stub, Stub());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  v1::GetHistoryResponse response;
  HEADROOM_RETURN_IF_ERROR(rpc::FromGrpc(stub->GetHistory(&context, request, &response)));
  return response;
}

absl::StatusOr<v1::GetRefusalsResponse> SchedulerClient::GetRefusals(const v1::GetRefusalsRequest& request,
                                                                     std::chrono::milliseconds timeout) {
  HEADROOM_ASSIGN_OR_RETURN(auto stub, Stub());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  v1::GetRefusalsResponse response;
  HEADROOM_RETURN_IF_ERROR(rpc::FromGrpc(stub->GetRefusals(&context, request, &response)));
  return response;
}

absl::StatusOr<v1::RenewResponse> SchedulerClient::Renew(const v1::RenewRequest& request,
                                                         std::chrono::milliseconds timeout) {
  HEADROOM_ASSIGN_OR_RETURN(auto stub, Stub());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  v1::RenewResponse response;
  HEADROOM_RETURN_IF_ERROR(rpc::FromGrpc(stub->Renew(&context, request, &response)));
  return response;
}

absl::Status SchedulerClient::Void(const v1::VoidRequest& request, std::chrono::milliseconds timeout) {
  HEADROOM_ASSIGN_OR_RETURN(auto stub, Stub());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  v1::VoidResponse response;
  return rpc::FromGrpc(stub->Void(&context, request, &response));
}

}  // namespace headroom::gateway
