#include "scheduler/service.h"

#include <grpcpp/support/server_callback.h>

#include <algorithm>
#include <optional>

#include "admission/link/convert.h"
#include "common/rpc/status.h"
#include "scheduler/link_stream.h"
#include "scheduler/past.h"

namespace headroom::scheduler {
namespace {

using admission::FromProto;
using admission::milliseconds;
using admission::ToProto;

constexpr int64_t kDayMs = 24 * 3600 * 1000;

// How long the request may wait: what it says, within the call's own deadline. 0 when neither says anything.
milliseconds WaitMax(const grpc::CallbackServerContext& context, int64_t asked_ms) {
  const auto left = std::chrono::duration_cast<milliseconds>(context.deadline() - std::chrono::system_clock::now());
  int64_t wait_ms = std::clamp<int64_t>(asked_ms, 0, kDayMs);
  // A call without a deadline has one in the far future.
  if (left.count() < kDayMs) {
    const int64_t left_ms = std::max<int64_t>(1, left.count());
    wait_ms = wait_ms == 0 ? left_ms : std::min(wait_ms, left_ms);
  }
  return milliseconds(wait_ms);
}

admission::Reserve FromRequest(const grpc::CallbackServerContext& context, const v1::ReserveRequest& request) {
  return {.ticket = 0,
          .request_id = request.context().request_id(),
          .tenant = request.context().tenant(),
          .priority = request.context().priority(),
          .model = request.model().sha256(),
          .price = FromProto(request.price()),
          .queued = milliseconds(std::clamp<int64_t>(request.queued_ms(), 0, kDayMs)),
          .exclude_workers = {request.exclude_workers().begin(), request.exclude_workers().end()},
          .resume = request.resume(),
          .wait_max = WaitMax(context, request.wait_ms_max()),
          .grant = FromProto(request.grant_id())};
}

// One Reserve call. Lives until gRPC is done with it; the core's callback runs exactly once, before that.
class ReserveCall : public grpc::ServerUnaryReactor {
 public:
  ReserveCall(grpc::CallbackServerContext* context, const v1::ReserveRequest& request, v1::ReserveResponse* response,
              CoreRunner& core)
      : context_(context), response_(response), core_(core) {
    ticket_ = core_.Reserve(FromRequest(*context, request),
                            [this](const absl::StatusOr<admission::Granted>& granted) { Answer(granted); });
  }

 private:
  void Answer(const absl::StatusOr<admission::Granted>& granted) {
    if (granted.ok()) {
      grant_id_ = granted->grant.id;
      *response_->mutable_grant() = ToProto(granted->grant);
      response_->set_queued_ms(granted->queued.count());
    }
    Finish(rpc::ToGrpc(granted.status()));
  }

  // Not before the method has returned this reactor, so ticket_ is set.
  void OnCancel() override { core_.CancelReserve(ticket_); }

  void OnDone() override {
    // The grant was made, but nobody got it.
    if (grant_id_ && context_->IsCancelled()) core_.Void(*grant_id_);
    delete this;
  }

  grpc::CallbackServerContext* const context_;
  v1::ReserveResponse* const response_;
  CoreRunner& core_;
  admission::Ticket ticket_ = 0;
  std::optional<admission::GrantId> grant_id_;
};

grpc::ServerUnaryReactor* Done(grpc::CallbackServerContext* context, const absl::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(rpc::ToGrpc(status));
  return reactor;
}

void FillWorker(const admission::WorkerStatus& worker, v1::WorkerView* view) {
  view->set_worker(worker.info.worker);
  view->set_endpoint(worker.info.endpoint);
  for (admission::Role role : worker.info.roles) view->add_roles(ToProto(role));
  view->set_state(ToProto(worker.state));
  view->set_load_progress(worker.load_progress);
  view->set_incarnation(worker.incarnation);
  *view->mutable_capacity() = ToProto(worker.info.capacity);
  *view->mutable_reserved() = ToProto(worker.reserved);
  view->set_heartbeat_age_ms(worker.silent.count());
  view->set_active_legs(worker.active_legs);
  view->set_pending_legs(worker.pending_legs);
  view->mutable_model()->set_sha256(worker.info.model);
  view->set_max_patches_per_step(worker.info.max_patches_per_step);
  view->set_max_model_len(worker.info.max_model_len);
  view->set_block_size(worker.info.block_size);
  view->set_embedding_row_bytes(worker.info.embedding_row_bytes);
  view->set_kv_block_bytes(worker.info.kv_block_bytes);
  view->set_device(worker.info.device);
  view->set_placeable(worker.placeable);
}

}  // namespace

grpc::ServerUnaryReactor* SchedulerService::Reserve(grpc::CallbackServerContext* context,
                                                    const v1::ReserveRequest* request, v1::ReserveResponse* response) {
  return new ReserveCall(context, *request, response, core_);
}

grpc::ServerUnaryReactor* SchedulerService::Renew(grpc::CallbackServerContext* context, const v1::RenewRequest* request,
                                                  v1::RenewResponse* response) {
  if (request->epoch().cluster_id() != options_.cluster_id) {
    return Done(context, absl::FailedPreconditionError("the grant is of another cluster"));
  }
  const admission::Renewed renewed = core_.Renew(FromProto(request->id()), request->epoch().number());
  if (!renewed.known) return Done(context, absl::NotFoundError("the grant is void"));
  response->set_ttl_ms(renewed.ttl.count());
  return Done(context, absl::OkStatus());
}

grpc::ServerUnaryReactor* SchedulerService::Void(grpc::CallbackServerContext* context, const v1::VoidRequest* request,
                                                 v1::VoidResponse*) {
  core_.Void(FromProto(request->id()));
  return Done(context, absl::OkStatus());
}

grpc::ServerUnaryReactor* SchedulerService::CanAdmit(grpc::CallbackServerContext* context,
                                                     const v1::CanAdmitRequest* request,
                                                     v1::CanAdmitResponse* response) {
  const auto answer = core_.CanAdmit(request->model().sha256(), FromProto(request->price()));
  if (!answer.ok()) return Done(context, answer.status());
  response->set_fits_ever(answer->fits_ever);
  response->set_fits_now(answer->fits_now);
  for (const admission::Shortfall& shortfall : answer->shortfalls) *response->add_shortfalls() = ToProto(shortfall);
  return Done(context, absl::OkStatus());
}

grpc::ServerUnaryReactor* SchedulerService::GetClusterState(grpc::CallbackServerContext* context,
                                                            const v1::GetClusterStateRequest*,
                                                            v1::ClusterState* response) {
  const admission::ClusterStatus status = core_.Status();
  response->mutable_epoch()->set_cluster_id(options_.cluster_id);
  response->mutable_epoch()->set_number(status.epoch);
  for (const admission::WorkerStatus& worker : status.workers) {
    v1::WorkerView* view = response->add_workers();
    FillWorker(worker, view);
    *view->mutable_ledger() = core_.LedgerOf(worker.info.worker);
  }
  response->set_queue_entries(status.queue_entries);
  response->set_queue_entries_max(status.queue_entries_max);
  response->set_grants_pending(status.grants_pending);
  response->set_grants_active(status.grants_active);
  return Done(context, absl::OkStatus());
}

grpc::ServerUnaryReactor* SchedulerService::GetHistory(grpc::CallbackServerContext* context,
                                                       const v1::GetHistoryRequest* request,
                                                       v1::GetHistoryResponse* response) {
  absl::StatusOr<v1::GetHistoryResponse> answer = AnswerHistory(core_, *request);
  if (answer.ok()) *response = *std::move(answer);
  return Done(context, answer.status());
}

grpc::ServerUnaryReactor* SchedulerService::GetRefusals(grpc::CallbackServerContext* context,
                                                        const v1::GetRefusalsRequest* request,
                                                        v1::GetRefusalsResponse* response) {
  absl::StatusOr<v1::GetRefusalsResponse> answer = AnswerRefusals(core_, *request);
  if (answer.ok()) *response = *std::move(answer);
  return Done(context, answer.status());
}

grpc::ServerBidiReactor<v1::WorkerMessage, v1::SchedulerMessage>* SchedulerService::WorkerLink(
    grpc::CallbackServerContext*) {
  return LinkStream::Open(options_.cluster_id, options_.heartbeat_ms, core_);
}

}  // namespace headroom::scheduler
