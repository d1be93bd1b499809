#include "gateway/service.h"

#include <algorithm>

#include "admission/link/past_request.h"
#include "common/rpc/status.h"
#include "common/version.h"
#include "gateway/answer_call.h"
#include "gateway/question_call.h"

namespace headroom::gateway {
namespace {

// A request is in memory as it came and as it was read.
constexpr int64_t kMessageCopies = 2;
constexpr size_t kExplainQueueMax = 8;
constexpr std::chrono::milliseconds kExplainTimeout(5'000);

}  // namespace

GatewayService::GatewayService(const Parts& parts)
    : parts_(parts),
      questions_({parts.config, parts.models, parts.cluster, parts.host_budget}),
      explain_pool_("explain", 1, kExplainQueueMax) {}

GatewayService::~GatewayService() { explain_pool_.Shutdown(); }

template <typename Request, typename Call>
absl::Status GatewayService::Run(const grpc::CallbackServerContext& context, const grpc::ByteBuffer* bytes,
                                 const std::shared_ptr<Call>& call) {
  HEADROOM_ASSIGN_OR_RETURN(auto place, parts_.runner.Enter(kMessageCopies * static_cast<int64_t>(bytes->Length())));
  RequestRunner::ArrivalOf<Request> arrival;
  arrival.read = [bytes](Request* request) { return ReadMessage(*bytes, request); };
  // A client that sets no deadline shows as the end of time.
  if (const auto given = context.deadline(); given != std::chrono::system_clock::time_point::max()) {
    arrival.deadline = given;
  }
  call->Follow(parts_.runner.Submit(std::move(place), std::move(arrival), call));
  return absl::OkStatus();
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* GatewayService::Generate(grpc::CallbackServerContext* context,
                                                                     const grpc::ByteBuffer* bytes) {
  const std::shared_ptr<GenerateCall> call = GenerateCall::Create(context);
  const absl::Status entered = Run<v1::GenerateRequest>(*context, bytes, call);
  if (!entered.ok()) call->End(entered);
  return call.get();
}

grpc::ServerUnaryReactor* GatewayService::Complete(grpc::CallbackServerContext* context, const grpc::ByteBuffer* bytes,
                                                   grpc::ByteBuffer* response_bytes) {
  const std::shared_ptr<CompleteCall> call = CompleteCall::Create(context, response_bytes);
  const absl::Status entered = Run<v1::GenerateRequest>(*context, bytes, call);
  if (!entered.ok()) call->End(entered);
  return call.get();
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* GatewayService::Embed(grpc::CallbackServerContext* context,
                                                                  const grpc::ByteBuffer* bytes) {
  const std::shared_ptr<EmbedCall> call = EmbedCall::Create(context);
  const absl::Status entered = Run<v1::EmbedRequest>(*context, bytes, call);
  if (!entered.ok()) call->End(entered);
  return call.get();
}

template <typename Request, typename Response>
grpc::ServerUnaryReactor* GatewayService::Ask(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                              grpc::ByteBuffer* response,
                                              std::function<absl::StatusOr<Response>(Request&)> answer) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  auto place = parts_.runner.Enter(kMessageCopies * static_cast<int64_t>(request->Length()));
  if (place.ok()) {
    AnswerQuestion<Request, Response>(parts_.prepare, *std::move(place), request, response, reactor, std::move(answer));
  } else {
    reactor->Finish(rpc::ToGrpc(place.status()));
  }
  return reactor;
}

grpc::ServerUnaryReactor* GatewayService::Tokenize(grpc::CallbackServerContext* context,
                                                   const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  return Ask<v1::TokenizeRequest, v1::TokenizeResponse>(
      context, request, response, [this](v1::TokenizeRequest& asked) { return questions_.Tokenize(asked); });
}

grpc::ServerUnaryReactor* GatewayService::Detokenize(grpc::CallbackServerContext* context,
                                                     const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  return Ask<v1::DetokenizeRequest, v1::DetokenizeResponse>(
      context, request, response, [this](v1::DetokenizeRequest& asked) { return questions_.Detokenize(asked); });
}

grpc::ServerUnaryReactor* GatewayService::Price(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                                grpc::ByteBuffer* response) {
  return Ask<v1::GenerateRequest, v1::PriceResponse>(
      context, request, response, [this](v1::GenerateRequest& asked) { return questions_.Price(asked); });
}

grpc::ServerUnaryReactor* GatewayService::GetStatus(grpc::CallbackServerContext* context, const v1::GetStatusRequest*,
                                                    v1::GetStatusResponse* response) {
  response->set_version(kVersion);
  const ServedModel& model = *parts_.models.all().front();
  response->set_model(model.name);
  response->mutable_fingerprint()->set_sha256(model.fingerprint);
  response->set_ready(parts_.cluster.Ready().ok() && !parts_.runner.draining());
  for (v1::ModelStatus& view : parts_.cluster.Models()) *response->add_models() = std::move(view);
  *response->mutable_cluster() = parts_.cluster.State();
  response->set_requests_running(parts_.runner.running());
  response->set_host_bytes_used(parts_.host_budget.used_bytes());
  response->set_host_bytes_capacity(parts_.host_budget.capacity_bytes());
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerUnaryReactor* GatewayService::Explain(grpc::CallbackServerContext* context,
                                                  std::function<absl::Status()> answer) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  if (!parts_.config.explain) {
    reactor->Finish(rpc::ToGrpc(absl::PermissionDeniedError("the operator has turned this off (gateway.explain)")));
    return reactor;
  }
  const bool accepted =
      explain_pool_.TrySubmit([reactor, answer = std::move(answer)] { reactor->Finish(rpc::ToGrpc(answer())); });
  if (!accepted) {
    reactor->Finish(rpc::ToGrpc(absl::ResourceExhaustedError("too many questions about the past at once")));
  }
  return reactor;
}

grpc::ServerUnaryReactor* GatewayService::GetHistory(grpc::CallbackServerContext* context,
                                                     const v1::GetHistoryRequest* request,
                                                     v1::GetHistoryResponse* response) {
  return Explain(context, [this, request, response]() -> absl::Status {
    HEADROOM_ASSIGN_OR_RETURN(*response, parts_.scheduler.GetHistory(*request, kExplainTimeout));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* GatewayService::GetRefusals(grpc::CallbackServerContext* context,
                                                      const v1::GetRefusalsRequest* request,
                                                      v1::GetRefusalsResponse* response) {
  return Explain(context, [this, request, response] { return FindRefusals(*request, response); });
}

// The scheduler's and this gateway's own, newest first.
absl::Status GatewayService::FindRefusals(const v1::GetRefusalsRequest& request, v1::GetRefusalsResponse* response) {
  HEADROOM_RETURN_IF_ERROR(admission::CheckRequest(request));
  const int64_t count = request.count() == 0 ? admission::kRefusalsDefault : request.count();
  std::vector<v1::RefusalView> views =
      parts_.runner.refusals().Last(request.request_id(), static_cast<size_t>(count), parts_.clock.Now());
  const auto from_scheduler = parts_.scheduler.GetRefusals(request, kExplainTimeout);
  if (from_scheduler.ok()) {
    for (const v1::RefusalView& view : from_scheduler->refusals()) {
      views.push_back(view);
      for (const auto& model : parts_.models.all()) {
        if (model->fingerprint == view.model()) views.back().set_model(model->name);
      }
    }
  } else if (views.empty()) {
    return from_scheduler.status();
  }
  std::stable_sort(views.begin(), views.end(),
                   [](const v1::RefusalView& a, const v1::RefusalView& b) { return a.age_ms() < b.age_ms(); });
  if (views.size() > static_cast<size_t>(count)) views.resize(static_cast<size_t>(count));
  for (v1::RefusalView& view : views) *response->add_refusals() = std::move(view);
  return absl::OkStatus();
}

}  // namespace headroom::gateway
