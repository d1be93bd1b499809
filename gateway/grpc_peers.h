// Peers over gRPC's callback API: its threads only set events, requests go on in the gateway's executor.
#pragma once

#include <memory>
#include <string>

#include "common/async/executor.h"
#include "common/async/timers.h"
#include "common/rpc/channel_directory.h"
#include "gateway/peers.h"
#include "headroom/v1/scheduler.grpc.pb.h"

namespace headroom::gateway {

class GrpcPeers : public Peers {
 public:
  // Everything given must outlive this.
  GrpcPeers(rpc::ChannelDirectory& channels, std::string scheduler_endpoint, Executor& executor, Timers& timers)
      : channels_(channels), scheduler_endpoint_(std::move(scheduler_endpoint)), executor_(executor), timers_(timers) {}

  Task<absl::StatusOr<v1::ReserveResponse>> Reserve(const v1::ReserveRequest& request, const CallScope& scope) override;
  Task<absl::Status> Void(const v1::VoidRequest& request) override;
  Task<absl::StatusOr<std::unique_ptr<VisionEncoding>>> OpenEncoding(const std::string& endpoint,
                                                                     const v1::EncodeStart& start,
                                                                     const CallScope& scope) override;
  Task<absl::StatusOr<std::unique_ptr<LlmGeneration>>> OpenGeneration(const std::string& endpoint,
                                                                      const v1::LlmGenerateRequest& request,
                                                                      const CallScope& scope) override;
  Task<absl::StatusOr<v1::FetchResponse>> FetchRows(const std::string& endpoint, const v1::FetchRequest& request,
                                                    const CallScope& scope) override;

 private:
  absl::StatusOr<std::unique_ptr<v1::Scheduler::Stub>> SchedulerStub();
  // As rpc::ChannelDirectory::GetConnected(), without a thread.
  Task<absl::StatusOr<std::shared_ptr<grpc::Channel>>> Connect(const std::string& endpoint, const CallScope& scope);

  rpc::ChannelDirectory& channels_;
  const std::string scheduler_endpoint_;
  Executor& executor_;
  Timers& timers_;
};

}  // namespace headroom::gateway
