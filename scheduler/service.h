// The Scheduler service: translates between messages and the core's events, and holds no state of its own. All work is
// a short step of the core under its lock, so it is done inside gRPC's reactions; a Reserve that waits holds no thread.
#pragma once

#include "common/clock.h"
#include "headroom/v1/scheduler.grpc.pb.h"
#include "scheduler/core_runner.h"

namespace headroom::scheduler {

struct ServiceOptions {
  std::string cluster_id;
  int64_t heartbeat_ms = 500;
};

class SchedulerService : public v1::Scheduler::CallbackService {
 public:
  // `core` must outlive every call.
  SchedulerService(ServiceOptions options, CoreRunner& core) : options_(std::move(options)), core_(core) {}

  grpc::ServerUnaryReactor* Reserve(grpc::CallbackServerContext* context, const v1::ReserveRequest* request,
                                    v1::ReserveResponse* response) override;
  grpc::ServerUnaryReactor* Renew(grpc::CallbackServerContext* context, const v1::RenewRequest* request,
                                  v1::RenewResponse* response) override;
  grpc::ServerUnaryReactor* Void(grpc::CallbackServerContext* context, const v1::VoidRequest* request,
                                 v1::VoidResponse* response) override;
  grpc::ServerUnaryReactor* CanAdmit(grpc::CallbackServerContext* context, const v1::CanAdmitRequest* request,
                                     v1::CanAdmitResponse* response) override;
  grpc::ServerUnaryReactor* GetClusterState(grpc::CallbackServerContext* context,
                                            const v1::GetClusterStateRequest* request,
                                            v1::ClusterState* response) override;
  grpc::ServerUnaryReactor* GetHistory(grpc::CallbackServerContext* context, const v1::GetHistoryRequest* request,
                                       v1::GetHistoryResponse* response) override;
  grpc::ServerUnaryReactor* GetRefusals(grpc::CallbackServerContext* context, const v1::GetRefusalsRequest* request,
                                        v1::GetRefusalsResponse* response) override;
  grpc::ServerBidiReactor<v1::WorkerMessage, v1::SchedulerMessage>* WorkerLink(
      grpc::CallbackServerContext* context) override;

 private:
  const ServiceOptions options_;
  CoreRunner& core_;
};

}  // namespace headroom::scheduler
