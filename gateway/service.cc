#include "gateway/service.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include <algorithm>

#include "admission/link/past_request.h"
#include "common/log.h"
#include "common/random.h"
#include "common/rpc/status.h"
#include "common/version.h"
#include "gateway/answer_call.h"

namespace headroom::gateway {
namespace {

constexpr size_t kRequestIdBytesMax = 128;
// A request is in memory as it came and as it was read.
constexpr int64_t kMessageCopies = 2;
constexpr size_t kExplainQueueMax = 8;
constexpr std::chrono::milliseconds kExplainTimeout(5'000);
constexpr char kNoBudget[] = "none";

// Fit for logs and headers.
bool IsRequestId(const std::string& given) {
  return !given.empty() && given.size() <= kRequestIdBytesMax &&
         std::all_of(given.begin(), given.end(), [](unsigned char c) { return c > ' ' && c < 0x7f; });
}

// As the client gave it, else 128 random bits.
std::string RequestId(const std::string& given) {
  if (IsRequestId(given)) return given;
  return absl::StrCat(absl::Hex(SystemRandom().Next(), absl::kZeroPad16),
                      absl::Hex(SystemRandom().Next(), absl::kZeroPad16));
}

absl::Status Read(const grpc::ByteBuffer& bytes, v1::GenerateRequest* request) {
  grpc::ByteBuffer readable(bytes);
  if (!grpc::SerializationTraits<v1::GenerateRequest>::Deserialize(&readable, request).ok()) {
    return absl::InvalidArgumentError("the message is not a valid GenerateRequest, or its text is not UTF-8");
  }
  if (request->request_id().empty() || IsRequestId(request->request_id())) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("request_id has ", request->request_id().size(),
                                                 " bytes; it must be 1 to ", kRequestIdBytesMax,
                                                 " printable ASCII characters without spaces"));
}

// What a unary call needs beyond gRPC's own reactor: a stop token that fires on cancellation.
class CompleteCall : public grpc::ServerUnaryReactor {
 public:
  std::stop_token stop_token() const { return stop_.get_token(); }
  void OnCancel() override { stop_.request_stop(); }
  void OnDone() override { delete this; }

 private:
  std::stop_source stop_;
};

const std::map<absl::StatusCode, const char*>& OutcomeNames() {
  static const std::map<absl::StatusCode, const char*> names = {
      {absl::StatusCode::kOk, "ok"},
      {absl::StatusCode::kCancelled, "cancelled"},
      {absl::StatusCode::kInvalidArgument, "invalid_argument"},
      {absl::StatusCode::kDeadlineExceeded, "deadline_exceeded"},
      {absl::StatusCode::kResourceExhausted, "resource_exhausted"},
      {absl::StatusCode::kFailedPrecondition, "failed_precondition"},
      {absl::StatusCode::kUnavailable, "unavailable"},
      {absl::StatusCode::kInternal, "internal"},
  };
  return names;
}

absl::Status Draining() {
  return OwnRefusal(RefusalReason::kDraining, "the gateway is draining", {}, std::chrono::seconds(1));
}

}  // namespace

GatewayMetrics::GatewayMetrics(Metrics& metrics)
    : running(metrics.AddGauge("headroom_gateway_requests_running")),
      queue_seconds_(metrics.AddHistogram("headroom_gateway_queue_seconds")),
      first_token_seconds_(metrics.AddHistogram("headroom_gateway_time_to_first_token_seconds")),
      output_token_seconds_(metrics.AddHistogram("headroom_gateway_time_per_output_token_seconds")),
      duration_seconds_(metrics.AddHistogram("headroom_gateway_request_seconds")),
      prompt_tokens_(metrics.AddCounter("headroom_gateway_prompt_tokens_total")),
      completion_tokens_(metrics.AddCounter("headroom_gateway_completion_tokens_total")),
      images_(metrics.AddCounter("headroom_gateway_images_total")),
      pieces_(metrics.AddCounter("headroom_gateway_pieces_total")) {
  for (const auto& [code, name] : OutcomeNames()) {
    outcomes_.emplace(code, metrics.AddCounter("headroom_gateway_requests_total", {{"outcome", name}}));
  }
  for (const RefusalReasonInfo& info : RefusalReasons()) {
    std::vector<std::string> budgets = info.Budgets();
    budgets.emplace_back(kNoBudget);
    for (const std::string& budget : budgets) {
      refusals_.emplace(
          std::pair(info.reason, budget),
          metrics.AddCounter("headroom_gateway_refusals_total", {{"reason", info.name}, {"budget", budget}}));
    }
  }
}

void GatewayMetrics::RecordEnd(const absl::Status& status) {
  Outcome(status.code()).Increment();
  const std::optional<RefusalReason> reason = rpc::ReasonOf(status);
  if (!reason) return;
  const auto metadata = rpc::GetDetails(status).metadata;
  const auto budget = metadata.find("budget");
  const auto counter = refusals_.find({*reason, budget == metadata.end() ? kNoBudget : budget->second});
  (counter == refusals_.end() ? refusals_.at({*reason, kNoBudget}) : counter->second).Increment();
}

Counter& GatewayMetrics::Outcome(absl::StatusCode code) {
  const auto found = outcomes_.find(code);
  return found == outcomes_.end() ? outcomes_.at(absl::StatusCode::kInternal) : found->second;
}

void GatewayMetrics::Record(const absl::Status& status, const v1::Usage& usage, const RequestTimes& times,
                            double seconds) {
  RecordEnd(status);
  duration_seconds_.Observe(seconds);
  if (times.queued_seconds) queue_seconds_.Observe(*times.queued_seconds);
  if (times.first_token_seconds) first_token_seconds_.Observe(*times.first_token_seconds);
  if (times.last_token_seconds && usage.completion_tokens() > 1) {
    output_token_seconds_.Observe((*times.last_token_seconds - *times.first_token_seconds) /
                                  static_cast<double>(usage.completion_tokens() - 1));
  }
  prompt_tokens_.Increment(static_cast<double>(usage.prompt_tokens()));
  completion_tokens_.Increment(static_cast<double>(usage.completion_tokens()));
  images_.Increment(static_cast<double>(usage.images()));
  pieces_.Increment(static_cast<double>(usage.pieces()));
}

GatewayService::GatewayService(const PipelineParts& parts, Metrics& metrics)
    : parts_(parts),
      metrics_(metrics),
      pipeline_(parts),
      pool_("gateway", static_cast<int>(parts.config.requests_running_max),
            static_cast<size_t>(parts.config.requests_running_max)),
      explain_pool_("explain", 1, kExplainQueueMax) {}

GatewayService::~GatewayService() {
  explain_pool_.Shutdown();
  pool_.Shutdown();
}

absl::Status GatewayService::Enter() {
  if (draining_) return Draining();
  if (++running_ > parts_.config.requests_running_max) {
    --running_;
    const int64_t limit = parts_.config.requests_running_max;
    absl::Status status =
        OwnRefusal(RefusalReason::kGatewayFull,
                   absl::StrCat("the gateway runs ", limit, " requests, its limit (requests_running_max)"),
                   admission::Shortfall{"requests_running", "", 1, 0, limit}, std::chrono::seconds(1));
    // Its message has not been read, so it has no id.
    refusals_.Note(status, "", parts_.clock.Now());
    return status;
  }
  metrics_.running.Add(1);
  return absl::OkStatus();
}

void GatewayService::Leave() {
  metrics_.running.Add(-1);
  --running_;
}

absl::Status GatewayService::Submit(std::function<void()> task) {
  absl::Status status = Start(std::move(task));
  if (!status.ok()) metrics_.RecordEnd(status);
  return status;
}

absl::Status GatewayService::Start(std::function<void()> task) {
  HEADROOM_RETURN_IF_ERROR(Enter());
  const bool accepted = pool_.TrySubmit([this, task = std::move(task)] {
    task();
    Leave();
  });
  if (accepted) return absl::OkStatus();
  Leave();
  return Draining();
}

CallScope GatewayService::Scope(const grpc::CallbackServerContext& context, std::stop_token stop) const {
  const auto latest = std::chrono::system_clock::now() + std::chrono::milliseconds(parts_.config.deadline_ms_default);
  const auto given = context.deadline();
  // A client that sets no deadline shows as the end of time.
  const bool has_deadline = given != std::chrono::system_clock::time_point::max();
  return {has_deadline ? given : latest, std::move(stop)};
}

absl::StatusOr<v1::Finish> GatewayService::RunRequest(const grpc::ByteBuffer& bytes, const CallScope& scope,
                                                      const Pipeline::TextSink& sink) {
  const TimePoint started = parts_.clock.Now();
  v1::GenerateRequest request;
  const auto share = parts_.host_budget.Take(kMessageCopies * static_cast<int64_t>(bytes.Length()));
  const absl::Status read = share.ok() ? Read(bytes, &request) : share.status();
  const std::string request_id = RequestId(request.request_id());
  RequestTimes times;
  absl::StatusOr<v1::Finish> finish =
      read.ok() ? pipeline_.Run(request, request_id, scope, sink, &times) : absl::StatusOr<v1::Finish>(read);
  refusals_.Note(finish.status(), request_id, parts_.clock.Now());
  const double seconds = Seconds(parts_.clock.Now() - started);
  const v1::Usage usage = finish.ok() ? finish->usage() : v1::Usage();
  metrics_.Record(finish.status(), usage, times, seconds);
  Log(LogLevel::kInfo, "gateway", "request")
      .With("request", request_id)
      .With("status", absl::StatusCodeToString(finish.status().code()))
      .With("seconds", seconds)
      .With("first_token_seconds", times.first_token_seconds.value_or(0))
      .With("prompt_tokens", usage.prompt_tokens())
      .With("completion_tokens", usage.completion_tokens())
      .With("pieces", usage.pieces());
  return finish;
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* GatewayService::Generate(grpc::CallbackServerContext* context,
                                                                     const grpc::ByteBuffer* bytes) {
  const std::shared_ptr<AnswerCall> call =
      AnswerCall::Create(context, std::chrono::milliseconds(parts_.config.unread_ms_max));
  AnswerCall* const reactor = call.get();
  const CallScope scope = Scope(*context, call->stop_token());
  const absl::Status submitted = Submit([this, call, bytes, scope] {
    const auto finish = RunRequest(*bytes, scope, [&call](const std::string& text) {
      v1::GenerateResponse response;
      response.set_text_delta(text);
      return call->Send(response);
    });
    if (finish.ok()) {
      v1::GenerateResponse last;
      *last.mutable_finish() = *finish;
      call->Send(last);
    }
    call->End(rpc::ToGrpc(finish.status()));
  });
  if (!submitted.ok()) reactor->End(rpc::ToGrpc(submitted));
  return reactor;
}

grpc::ServerUnaryReactor* GatewayService::Complete(grpc::CallbackServerContext* context, const grpc::ByteBuffer* bytes,
                                                   grpc::ByteBuffer* response_bytes) {
  auto* const call = new CompleteCall;
  const CallScope scope = Scope(*context, call->stop_token());
  const absl::Status submitted = Submit([this, call, bytes, response_bytes, scope] {
    v1::CompleteResponse response;
    const auto finish = RunRequest(*bytes, scope, [&response](const std::string& text) {
      response.mutable_text()->append(text);
      return true;
    });
    if (finish.ok()) *response.mutable_finish() = *finish;
    bool owned = false;
    grpc::SerializationTraits<v1::CompleteResponse>::Serialize(response, response_bytes, &owned);
    call->Finish(rpc::ToGrpc(finish.status()));
  });
  if (!submitted.ok()) call->Finish(rpc::ToGrpc(submitted));
  return call;
}

grpc::ServerUnaryReactor* GatewayService::GetStatus(grpc::CallbackServerContext* context, const v1::GetStatusRequest*,
                                                    v1::GetStatusResponse* response) {
  response->set_version(kVersion);
  response->set_model(parts_.model.name);
  response->mutable_fingerprint()->set_sha256(parts_.model.fingerprint);
  response->set_ready(parts_.cluster.Ready().ok() && !draining_);
  *response->mutable_cluster() = parts_.cluster.State();
  response->set_requests_running(running_);
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
      refusals_.Last(request.request_id(), static_cast<size_t>(count), parts_.clock.Now());
  const auto from_scheduler = parts_.scheduler.GetRefusals(request, kExplainTimeout);
  if (from_scheduler.ok()) {
    views.insert(views.end(), from_scheduler->refusals().begin(), from_scheduler->refusals().end());
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
