#include "gateway/grpc_peers.h"

#include <grpcpp/client_context.h>

#include <algorithm>

#include "common/rpc/status.h"
#include "gateway/grpc_streams.h"

namespace headroom::gateway {
namespace {

constexpr std::chrono::milliseconds kReserveSlack(1'000);
constexpr std::chrono::milliseconds kVoidTimeout(2'000);
constexpr std::chrono::milliseconds kConnectPollMin(1);
constexpr std::chrono::milliseconds kConnectPollMax(50);

}  // namespace

absl::StatusOr<std::unique_ptr<v1::Scheduler::Stub>> GrpcPeers::SchedulerStub() {
  HEADROOM_ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, channels_.Get(scheduler_endpoint_));
  return v1::Scheduler::NewStub(channel);
}

Task<absl::StatusOr<v1::ReserveResponse>> GrpcPeers::Reserve(const v1::ReserveRequest& request,
                                                             const CallScope& scope) {
  HEADROOM_CO_ASSIGN_OR_RETURN(auto stub, SchedulerStub());
  grpc::ClientContext context;
  // A client may name the end of time.
  const auto latest = std::chrono::system_clock::time_point::max() - kReserveSlack;
  context.set_deadline(std::min(scope.deadline, latest) + kReserveSlack);
  v1::ReserveResponse response;
  grpc::Status ended;
  Event done(executor_);
  const std::stop_callback on_stop(scope.stop, [&context] { context.TryCancel(); });
  stub->async()->Reserve(&context, &request, &response, [&ended, &done](const grpc::Status& status) {
    ended = status;
    done.Set();
  });
  co_await done;
  HEADROOM_CO_RETURN_IF_ERROR(StatusOfPeer(ended, scope.stop));
  co_return response;
}

Task<absl::Status> GrpcPeers::Void(const v1::VoidRequest& request) {
  HEADROOM_CO_ASSIGN_OR_RETURN(auto stub, SchedulerStub());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kVoidTimeout);
  v1::VoidResponse response;
  grpc::Status ended;
  Event done(executor_);
  stub->async()->Void(&context, &request, &response, [&ended, &done](const grpc::Status& status) {
    ended = status;
    done.Set();
  });
  co_await done;
  co_return rpc::FromGrpc(ended);
}

Task<absl::StatusOr<std::shared_ptr<grpc::Channel>>> GrpcPeers::Connect(const std::string& endpoint,
                                                                        const CallScope& scope) {
  HEADROOM_CO_ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, channels_.Get(endpoint));
  const auto end = std::chrono::system_clock::now() + rpc::ChannelDirectory::kConnectPatience;
  for (auto pause = kConnectPollMin; !rpc::IsConnected(endpoint, *channel);
       pause = std::min(2 * pause, kConnectPollMax)) {
    if (std::chrono::system_clock::now() >= end) co_return absl::UnavailableError("the service cannot be reached");
    const bool paused = co_await Pause(executor_, timers_, pause, scope.stop);
    if (!paused) co_return absl::CancelledError("stopped while connecting");
  }
  co_return channel;
}

Task<absl::StatusOr<std::unique_ptr<VisionEncoding>>> GrpcPeers::OpenEncoding(const std::string& endpoint,
                                                                              const v1::EncodeStart& start,
                                                                              const CallScope& scope) {
  const auto channel = co_await Connect(endpoint, scope);
  if (!channel.ok()) co_return channel.status();
  auto encoding = std::make_unique<GrpcEncoding>(v1::Vision::NewStub(*channel), scope, executor_);
  co_await encoding->Start(start);
  co_return encoding;
}

Task<absl::StatusOr<std::unique_ptr<LlmGeneration>>> GrpcPeers::OpenGeneration(const std::string& endpoint,
                                                                               const v1::LlmGenerateRequest& request,
                                                                               const CallScope& scope) {
  const auto channel = co_await Connect(endpoint, scope);
  if (!channel.ok()) co_return channel.status();
  const std::shared_ptr<v1::Llm::Stub> stub = v1::Llm::NewStub(*channel);
  const auto generate = [&](auto* context, auto* reactor) { stub->async()->Generate(context, &request, reactor); };
  co_return std::make_unique<GrpcPeerStream<v1::TokenEvent>>(stub, generate, scope, executor_);
}

Task<absl::StatusOr<v1::FetchResponse>> GrpcPeers::FetchRows(const std::string& endpoint,
                                                             const v1::FetchRequest& request, const CallScope& scope) {
  const auto channel = co_await Connect(endpoint, scope);
  if (!channel.ok()) co_return channel.status();
  const std::shared_ptr<v1::Vision::Stub> stub = v1::Vision::NewStub(*channel);
  const auto fetch = [&](auto* context, auto* reactor) { stub->async()->Fetch(context, &request, reactor); };
  GrpcPeerStream<v1::FetchResponse> stream(stub, fetch, scope, executor_);
  v1::FetchResponse rows;
  const bool read = co_await stream.Read(&rows);
  const absl::Status ended = co_await stream.Finish();
  HEADROOM_CO_RETURN_IF_ERROR(ended);
  if (!read) co_return absl::InternalError("the vision-worker sent no rows");
  co_return rows;
}

}  // namespace headroom::gateway
