#include "gateway/pipeline.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "admission/link/convert.h"
#include "common/log.h"
#include "common/random.h"
#include "common/rpc/status.h"
#include "gateway/own_refusals.h"
#include "gateway/text_stream.h"

namespace headroom::gateway {
namespace {

// Refusals of workers that had not begun with the request. A rollout makes one or two.
constexpr int kRefusalsMax = 3;
constexpr std::chrono::milliseconds kRetryMin(50);
constexpr std::chrono::milliseconds kRetryMax(1'000);

// The scheduler is on its way out, or cannot be reached: it comes back, or another one in its place. Other refusals are
// its decision.
bool SchedulerIsAway(const absl::Status& status) {
  if (!absl::IsUnavailable(status)) return false;
  return rpc::GetDetails(status).reason.empty() || rpc::ReasonOf(status) == RefusalReason::kDraining;
}

// False when `stop` fired first.
bool WaitFor(std::chrono::milliseconds time, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::unique_lock lock(mutex);
  return !changed.wait_for(lock, stop, time, [&stop] { return stop.stop_requested(); });
}

}  // namespace

// One request on its way, over all workers that it meets.
struct Pipeline::Attempt {
  const v1::GenerateRequest& request;
  const std::string& request_id;
  const CallScope& scope;
  const TextSink& sink;
  RequestTimes* times;
  TimePoint started;
  TextStream text;
  std::vector<int32_t> answer_ids = {};              // tokens so far: what a new worker continues from
  std::vector<std::string> exclude_workers = {};     // lost ones
  std::string failed_worker = {};                    // set when a worker ended this round
  std::optional<RefusalReason> failure_reason = {};  // what it gave
  bool touched = false;                              // it had begun with the request
  int refusals = 0;
  int losses = 0;
  v1::FinishReason reason = v1::FINISH_REASON_UNSPECIFIED;

  v1::RequestContext Context() const {
    v1::RequestContext context;
    context.set_request_id(request_id);
    context.set_priority(request.priority());
    return context;
  }

  bool moved() const { return refusals + losses > 0; }

  // Notes which worker failed, and whether it had begun: a refusal of its own carries a reason.
  absl::Status Failed(const admission::Leg& leg, absl::Status status, bool accepted) {
    failed_worker = leg.worker;
    failure_reason = rpc::ReasonOf(status);
    touched = accepted && rpc::GetDetails(status).reason.empty();
    return status;
  }

  // A request moves away from workers that had not begun with it, and once from a worker that was lost while decoding.
  // One lost during prefill may have been killed by this very request, which must not meet a second worker.
  bool Move(const absl::Status& status) {
    if (!absl::IsUnavailable(status) || failed_worker.empty() || scope.stop.stop_requested()) return false;
    if (!touched) return ++refusals <= kRefusalsMax;
    return !answer_ids.empty() && ++losses <= 1;
  }
};

absl::StatusOr<v1::Finish> Pipeline::Run(const v1::GenerateRequest& request, const std::string& request_id,
                                         const CallScope& scope, const TextSink& sink, RequestTimes* times) {
  HEADROOM_ASSIGN_OR_RETURN(const ClusterLimits limits, parts_.cluster.Limits());
  HEADROOM_ASSIGN_OR_RETURN(const PreparedRequest prepared, PrepareInBudget(request, limits));

  Attempt attempt{.request = request,
                  .request_id = request_id,
                  .scope = scope,
                  .sink = sink,
                  .times = times,
                  .started = parts_.clock.Now(),
                  .text = TextStream(*parts_.model.tokenizer, prepared.stop_strings)};
  while (true) {
    attempt.failed_worker.clear();
    absl::Status status;
    {
      HEADROOM_ASSIGN_OR_RETURN(std::unique_ptr<HeldGrant> grant, Reserve(prepared, attempt));
      absl::StatusOr<std::unique_ptr<VisionEncoding>> encoding = Encode(prepared, *grant, attempt);
      status = encoding.ok() ? Generate(prepared, *grant, encoding->get(), attempt) : encoding.status();
    }
    if (status.ok()) break;
    if (scope.stop.stop_requested()) return absl::CancelledError("the request was cancelled");
    if (!attempt.Move(status)) return status;
    Log(LogLevel::kWarning, "gateway", "request asks for a new grant")
        .With("request", request_id)
        .With("from", attempt.failed_worker)
        .With("tokens", attempt.answer_ids.size());
    // A grant of a scheduler that has restarted since is refused by a worker that is well.
    if (attempt.failure_reason != RefusalReason::kGrantNotValid)
      attempt.exclude_workers.push_back(attempt.failed_worker);
  }

  v1::Finish finish;
  finish.set_reason(attempt.reason);
  *finish.mutable_usage() = prepared.usage;
  finish.mutable_usage()->set_completion_tokens(static_cast<int64_t>(attempt.answer_ids.size()));
  finish.set_seed(prepared.sampling.seed());
  finish.set_request_id(request_id);
  return finish;
}

absl::StatusOr<PreparedRequest> Pipeline::PrepareInBudget(const v1::GenerateRequest& request,
                                                          const ClusterLimits& limits) {
  HEADROOM_ASSIGN_OR_RETURN(const HostBudget::Share work,
                            parts_.host_budget.Take(PrepareBytes(request, parts_.model, limits)));
  return Prepare(request, parts_.model, parts_.config, limits);
}

absl::StatusOr<std::unique_ptr<HeldGrant>> Pipeline::Reserve(const PreparedRequest& prepared, Attempt& attempt) {
  v1::ReserveRequest reserve;
  *reserve.mutable_context() = attempt.Context();
  reserve.mutable_model()->set_sha256(parts_.model.fingerprint);
  *reserve.mutable_price() = admission::ToProto(prepared.price);
  for (const std::string& worker : attempt.exclude_workers) reserve.add_exclude_workers(worker);
  reserve.set_resume(attempt.moved());
  HEADROOM_ASSIGN_OR_RETURN(const v1::ReserveResponse response, AskScheduler(reserve, attempt));
  const TimePoint received_at = parts_.clock.Now();
  if (!attempt.moved()) attempt.times->queued_seconds = Seconds(received_at - attempt.started);
  absl::StatusOr<admission::Grant> grant = admission::FromProto(response.grant());
  if (!grant.ok()) {
    parts_.grants.VoidUnknown(reserve.grant_id());
    return grant.status();
  }
  return parts_.grants.Hold(*std::move(grant), received_at);
}

// A scheduler that restarts costs time and no request: it is asked again for as long as the request may wait for room.
absl::StatusOr<v1::ReserveResponse> Pipeline::AskScheduler(v1::ReserveRequest& reserve, const Attempt& attempt) {
  const TimePoint asked = parts_.clock.Now();
  const TimePoint give_up = asked + std::chrono::milliseconds(parts_.config.queue_wait_ms_max);
  for (std::chrono::milliseconds pause = kRetryMin;; pause = std::min(2 * pause, kRetryMax)) {
    if (attempt.scope.stop.stop_requested()) return absl::CancelledError("the request was cancelled");
    const TimePoint now = parts_.clock.Now();
    const Duration left = attempt.scope.deadline - std::chrono::system_clock::now();
    if (left <= Duration::zero()) return absl::DeadlineExceededError("the request's deadline has passed");
    // No grant for a caller that has left. The place in the queue is that of the first question.
    reserve.set_wait_ms_max(std::max<int64_t>(1, Milliseconds(std::min(give_up - now, left))));
    reserve.set_queued_ms(Milliseconds(now - (attempt.moved() ? attempt.started : asked)));
    absl::StatusOr<v1::ReserveResponse> response = AskOnce(reserve, attempt.scope);
    if (response.ok() || !SchedulerIsAway(response.status())) return response;
    if (now + pause >= give_up || std::chrono::system_clock::now() + pause >= attempt.scope.deadline) {
      // How a call broke names the scheduler's address, which is not the client's business.
      const bool answered = rpc::ReasonOf(response.status()).has_value();
      return answered ? response.status()
                      : OwnRefusal(RefusalReason::kNoScheduler, "the scheduler cannot be reached", {}, kRetryMax);
    }
    if (!WaitFor(pause, attempt.scope.stop)) return absl::CancelledError("the request was cancelled");
  }
}

absl::StatusOr<v1::ReserveResponse> Pipeline::AskOnce(v1::ReserveRequest& reserve, const CallScope& scope) {
  // Not the request's id: a client chooses that one, and must not be able to void what is another's.
  reserve.mutable_grant_id()->set_high(SystemRandom().Next());
  reserve.mutable_grant_id()->set_low(SystemRandom().Next());
  absl::StatusOr<v1::ReserveResponse> response = parts_.scheduler.Reserve(reserve, scope);
  // A refusal gives its reason. Without one the call broke or was cut short, perhaps after the decision.
  if (!response.ok() && rpc::GetDetails(response.status()).reason.empty()) {
    parts_.grants.VoidUnknown(reserve.grant_id());
  }
  return response;
}

// nullptr for a request without images.
absl::StatusOr<std::unique_ptr<VisionEncoding>> Pipeline::Encode(const PreparedRequest& prepared, HeldGrant& grant,
                                                                 Attempt& attempt) {
  if (prepared.images.empty()) return nullptr;
  const admission::Leg* leg = grant.Find(admission::Role::kVision);
  if (leg == nullptr) return absl::InternalError("the grant has no vision leg");
  v1::EncodeStart start;
  *start.mutable_context() = attempt.Context();
  HEADROOM_ASSIGN_OR_RETURN(*start.mutable_grant(), grant.Forward());
  start.mutable_model()->set_sha256(parts_.model.fingerprint);
  start.mutable_images()->Assign(prepared.images.begin(), prepared.images.end());
  auto encoding = VisionEncoding::Open(parts_.channels, leg->endpoint, start, attempt.scope);
  if (!encoding.ok()) return attempt.Failed(*leg, encoding.status(), false);
  if (absl::Status status = (*encoding)->Encode(prepared.image_bytes); !status.ok())
    return attempt.Failed(*leg, status, (*encoding)->accepted());
  grant.MarkActivated(admission::Role::kVision);
  return std::move(*encoding);
}

absl::Status Pipeline::Generate(const PreparedRequest& prepared, HeldGrant& grant, VisionEncoding* encoding,
                                Attempt& attempt) {
  const admission::Leg* leg = grant.Find(admission::Role::kLlm);
  if (leg == nullptr) return absl::InternalError("the grant has no llm leg");
  v1::LlmGenerateRequest generate;
  *generate.mutable_context() = attempt.Context();
  HEADROOM_ASSIGN_OR_RETURN(*generate.mutable_grant(), grant.Forward());
  generate.mutable_model()->set_sha256(parts_.model.fingerprint);
  generate.mutable_prompt_ids()->Assign(prepared.prompt_ids.begin(), prepared.prompt_ids.end());
  generate.mutable_continued_ids()->Assign(attempt.answer_ids.begin(), attempt.answer_ids.end());
  if (encoding != nullptr) {
    for (const v1::ImageEncoded& image : encoding->encoded()) *generate.add_refs() = image.ref();
    generate.mutable_spans()->Assign(prepared.spans.begin(), prepared.spans.end());
  }
  *generate.mutable_sampling() = prepared.sampling;
  generate.set_max_tokens(prepared.max_tokens);
  generate.mutable_stop_ids()->Assign(parts_.model.stop_ids.begin(), parts_.model.stop_ids.end());

  auto opened = LlmGeneration::Open(parts_.channels, leg->endpoint, generate, attempt.scope);
  if (!opened.ok()) return attempt.Failed(*leg, opened.status(), false);
  LlmGeneration& tokens = **opened;
  v1::TokenEvent event;
  while (attempt.reason == v1::FINISH_REASON_UNSPECIFIED) {
    if (!tokens.Read(&event)) {
      const absl::Status status = tokens.Finish();
      return attempt.Failed(*leg, status.ok() ? absl::InternalError("the llm-worker ended the stream early") : status,
                            tokens.accepted());
    }
    grant.MarkActivated(admission::Role::kLlm);
    // The first token says that the whole prompt has been read: the embeddings are no longer needed.
    if (encoding != nullptr) encoding->Close();
    if (event.has_token()) {
      attempt.times->last_token_seconds = Seconds(parts_.clock.Now() - attempt.started);
      if (attempt.answer_ids.empty()) attempt.times->first_token_seconds = attempt.times->last_token_seconds;
      attempt.answer_ids.push_back(event.token());
    }
    std::string shown;
    const bool is_text = event.has_token() && event.finish() != v1::FINISH_REASON_STOP;
    if (is_text) shown = attempt.text.Push(event.token());
    if (event.finish() != v1::FINISH_REASON_UNSPECIFIED) shown += attempt.text.Flush();
    if (!shown.empty() && !attempt.sink(shown)) {
      tokens.Cancel();
      return absl::CancelledError("the client reads no more");
    }
    attempt.reason = attempt.text.stopped() ? v1::FINISH_REASON_STOP : event.finish();
  }
  // After a stop string the worker is still at work: cancel it and drop the overrun.
  if (attempt.text.stopped()) tokens.Cancel();
  // The answer is complete; how the stream closes after it changes nothing.
  tokens.Finish().IgnoreError();
  if (attempt.reason == v1::FINISH_REASON_CANCELLED) return absl::CancelledError("the request was cancelled");
  if (attempt.reason == v1::FINISH_REASON_ERROR) return absl::InternalError("the llm-worker failed on this request");
  return absl::OkStatus();
}

}  // namespace headroom::gateway
