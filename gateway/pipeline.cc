#include "gateway/pipeline.h"

#include <algorithm>

#include "admission/link/convert.h"
#include "common/error_details.h"
#include "common/log.h"
#include "common/random.h"
#include "gateway/own_refusals.h"
#include "gateway/text_stream.h"

namespace headroom::gateway {
namespace {

// Refusals of workers that had not begun with the request. A rollout makes one or two.
constexpr int kRefusalsMax = 3;
constexpr std::chrono::milliseconds kRetryMin(50);
constexpr std::chrono::milliseconds kRetryMax(1'000);
// Of a token of prompt or answer while a request is open: its id here and in a message, and what it adds to a whole
// answer's text.
constexpr int64_t kTokenBytes = 16;

// The scheduler is on its way out, or cannot be reached: it comes back, or another one in its place. Other refusals are
// its decision.
bool SchedulerIsAway(const absl::Status& status) {
  if (!absl::IsUnavailable(status)) return false;
  return GetDetails(status).reason.empty() || ReasonOf(status) == RefusalReason::kDraining;
}

absl::Status Cancelled() { return absl::CancelledError("the request was cancelled"); }

}  // namespace

// One request on its way, over all workers that it meets.
struct Pipeline::Progress {
  const v1::GenerateRequest& request;
  const std::string& request_id;
  const CallScope& scope;
  const ServedModel& model;
  const PreparedRequest& prepared;
  Answer& answer;
  RequestTimes& times;
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
    failure_reason = ReasonOf(status);
    touched = accepted && GetDetails(status).reason.empty();
    return status;
  }

  // A request moves away from workers that had not begun with it, and once from a worker that was lost while decoding.
  // One lost during prefill may have been killed by this very request, which must not meet a second worker.
  bool Move(const absl::Status& status) {
    if (!absl::IsUnavailable(status) || failed_worker.empty() || scope.stop.stop_requested()) return false;
    if (!touched) return ++refusals <= kRefusalsMax;
    return !answer_ids.empty() && ++losses <= 1;
  }

  // Takes one event of the llm-worker: the text that the client may see now.
  std::string Take(const v1::TokenEvent& event, TimePoint now) {
    std::string shown;
    if (event.has_token()) {
      times.last_token_seconds = Seconds(now - started);
      if (answer_ids.empty()) times.first_token_seconds = times.last_token_seconds;
      answer_ids.push_back(event.token());
      if (event.finish() != v1::FINISH_REASON_STOP) shown = text.Push(event.token());
    }
    if (event.finish() != v1::FINISH_REASON_UNSPECIFIED) shown += text.Flush();
    reason = text.stopped() ? v1::FINISH_REASON_STOP : event.finish();
    return shown;
  }

  v1::GenerateResponse Finished() const {
    v1::GenerateResponse last;
    v1::Finish& finish = *last.mutable_finish();
    finish.set_reason(reason);
    *finish.mutable_usage() = prepared.usage;
    finish.mutable_usage()->set_completion_tokens(static_cast<int64_t>(answer_ids.size()));
    finish.set_seed(prepared.sampling.seed());
    finish.set_request_id(request_id);
    return last;
  }
};

Task<absl::StatusOr<v1::GenerateResponse>> Pipeline::Run(const v1::GenerateRequest& request,
                                                         const std::string& request_id, const CallScope& scope,
                                                         Answer& answer, RequestTimes& times) const {
  HEADROOM_CO_ASSIGN_OR_RETURN(const ServedModel* const model, parts_.models.Find(request.model()));
  HEADROOM_CO_ASSIGN_OR_RETURN(const ClusterLimits limits, parts_.cluster.Limits(*model));
  HEADROOM_CO_ASSIGN_OR_RETURN(const PreparedRequest prepared, PrepareInBudget(request, *model, limits));
  HEADROOM_CO_ASSIGN_OR_RETURN(
      const HostBudget::Share tokens,
      parts_.host_budget.Take(kTokenBytes * (prepared.usage.prompt_tokens() + prepared.max_tokens)));
  co_await parts_.executor.Switch();

  Progress progress{.request = request,
                    .request_id = request_id,
                    .scope = scope,
                    .model = *model,
                    .prepared = prepared,
                    .answer = answer,
                    .times = times,
                    .started = parts_.clock.Now(),
                    .text = TextStream(*model->tokenizer, prepared.stop_strings, model->marker_ids)};
  if (request.prompt().empty()) answer.ParseWith(ParserFor(request, *model, prepared.prompt_ids));
  while (true) {
    progress.failed_worker.clear();
    const auto grant = co_await Reserve(progress);
    if (!grant.ok()) co_return grant.status();
    answer.Granted();
    const absl::Status status = co_await Work(**grant, progress);
    co_await parts_.grants.Release(**grant);
    if (status.ok()) co_return progress.Finished();
    if (scope.stop.stop_requested()) co_return Cancelled();
    if (!progress.Move(status)) co_return status;
    Log(LogLevel::kWarning, "gateway", "request asks for a new grant")
        .With("request", request_id)
        .With("from", progress.failed_worker)
        .With("tokens", progress.answer_ids.size());
    // A grant of a scheduler that has restarted since is refused by a worker that is well.
    if (progress.failure_reason != RefusalReason::kGrantNotValid) {
      progress.exclude_workers.push_back(progress.failed_worker);
    }
  }
}

absl::StatusOr<PreparedRequest> Pipeline::PrepareInBudget(const v1::GenerateRequest& request, const ServedModel& model,
                                                          const ClusterLimits& limits) const {
  HEADROOM_ASSIGN_OR_RETURN(const HostBudget::Share work,
                            parts_.host_budget.Take(PrepareBytes(request, model, limits)));
  return Prepare(request, model, parts_.config, limits);
}

Task<absl::StatusOr<std::unique_ptr<HeldGrant>>> Pipeline::Reserve(Progress& progress) const {
  v1::ReserveRequest reserve;
  *reserve.mutable_context() = progress.Context();
  reserve.mutable_model()->set_sha256(progress.model.fingerprint);
  *reserve.mutable_price() = admission::ToProto(progress.prepared.price);
  for (const std::string& worker : progress.exclude_workers) reserve.add_exclude_workers(worker);
  reserve.set_resume(progress.moved());
  const auto response = co_await AskScheduler(reserve, progress);
  if (!response.ok()) co_return response.status();
  const TimePoint received_at = parts_.clock.Now();
  if (!progress.moved()) progress.times.queued_seconds = Seconds(received_at - progress.started);
  absl::StatusOr<admission::Grant> grant = admission::FromProto(response->grant());
  if (!grant.ok()) {
    parts_.grants.VoidUnknown(reserve.grant_id());
    co_return grant.status();
  }
  co_return parts_.grants.Hold(*std::move(grant), received_at);
}

// A scheduler that restarts costs time and no request: it is asked again for as long as the request may wait for room.
Task<absl::StatusOr<v1::ReserveResponse>> Pipeline::AskScheduler(v1::ReserveRequest& reserve,
                                                                 const Progress& progress) const {
  const std::stop_token& stop = progress.scope.stop;
  const TimePoint asked = parts_.clock.Now();
  const TimePoint give_up = asked + std::chrono::milliseconds(parts_.config.queue_wait_ms_max);
  for (std::chrono::milliseconds pause = kRetryMin;; pause = std::min(2 * pause, kRetryMax)) {
    if (stop.stop_requested()) co_return Cancelled();
    const TimePoint now = parts_.clock.Now();
    const Duration left = progress.scope.deadline - std::chrono::system_clock::now();
    if (left <= Duration::zero()) co_return absl::DeadlineExceededError("the request's deadline has passed");
    // No grant for a caller that has left. The place in the queue is that of the first question.
    reserve.set_wait_ms_max(std::max<int64_t>(1, Milliseconds(std::min(give_up - now, left))));
    reserve.set_queued_ms(Milliseconds(now - (progress.moved() ? progress.started : asked)));
    auto response = co_await AskOnce(reserve, progress.scope);
    if (response.ok() || !SchedulerIsAway(response.status())) co_return response;
    if (now + pause >= give_up || std::chrono::system_clock::now() + pause >= progress.scope.deadline) {
      // How a call broke names the scheduler's address, which is not the client's business.
      if (ReasonOf(response.status()).has_value()) co_return response;
      co_return OwnRefusal(RefusalReason::kNoScheduler, "the scheduler cannot be reached", {}, kRetryMax);
    }
    const bool paused = co_await Pause(parts_.executor, parts_.timers, pause, stop);
    if (!paused) co_return Cancelled();
  }
}

Task<absl::StatusOr<v1::ReserveResponse>> Pipeline::AskOnce(v1::ReserveRequest& reserve, const CallScope& scope) const {
  // Not the request's id: a client chooses that one, and must not be able to void what is another's.
  reserve.mutable_grant_id()->set_high(SystemRandom().Next());
  reserve.mutable_grant_id()->set_low(SystemRandom().Next());
  auto response = co_await parts_.peers.Reserve(reserve, scope);
  // A refusal gives its reason. Without one the call broke or was cut short, perhaps after the decision.
  if (!response.ok() && GetDetails(response.status()).reason.empty()) {
    parts_.grants.VoidUnknown(reserve.grant_id());
  }
  co_return response;
}

Task<absl::Status> Pipeline::Work(HeldGrant& grant, Progress& progress) const {
  const auto encoding = co_await Encode(grant, progress);
  if (!encoding.ok()) co_return encoding.status();
  const absl::Status status = co_await Generate(grant, encoding->get(), progress);
  if (*encoding != nullptr) co_await (*encoding)->End();
  co_return status;
}

// nullptr for a request without images.
Task<absl::StatusOr<std::unique_ptr<VisionEncoding>>> Pipeline::Encode(HeldGrant& grant, Progress& progress) const {
  const PreparedRequest& prepared = progress.prepared;
  if (prepared.images.empty()) co_return nullptr;
  const admission::Leg* leg = grant.Find(admission::Role::kVision);
  if (leg == nullptr) co_return absl::InternalError("the grant has no vision leg");
  v1::EncodeStart start;
  *start.mutable_context() = progress.Context();
  HEADROOM_CO_ASSIGN_OR_RETURN(*start.mutable_grant(), grant.Forward());
  start.mutable_model()->set_sha256(progress.model.fingerprint);
  start.mutable_images()->Assign(prepared.images.begin(), prepared.images.end());
  auto encoding = co_await parts_.peers.OpenEncoding(leg->endpoint, start, progress.scope);
  if (!encoding.ok()) co_return progress.Failed(*leg, encoding.status(), false);
  const absl::Status encoded = co_await (*encoding)->Encode(prepared.image_bytes);
  if (!encoded.ok()) {
    co_await (*encoding)->End();
    co_return progress.Failed(*leg, encoded, (*encoding)->accepted());
  }
  grant.MarkActivated(admission::Role::kVision);
  co_return encoding;
}

Task<absl::Status> Pipeline::Generate(HeldGrant& grant, VisionEncoding* encoding, Progress& progress) const {
  const admission::Leg* leg = grant.Find(admission::Role::kLlm);
  if (leg == nullptr) co_return absl::InternalError("the grant has no llm leg");
  std::unique_ptr<LlmGeneration> tokens;
  {
    HEADROOM_CO_ASSIGN_OR_RETURN(const v1::LlmGenerateRequest message, GenerateMessage(grant, encoding, progress));
    auto opened = co_await parts_.peers.OpenGeneration(leg->endpoint, message, progress.scope);
    if (!opened.ok()) co_return progress.Failed(*leg, opened.status(), false);
    tokens = *std::move(opened);
  }
  bool unread = false;  // the client takes no more
  v1::GenerateResponse piece;
  while (progress.reason == v1::FINISH_REASON_UNSPECIFIED && !unread) {
    v1::TokenEvent event;
    const bool more = co_await tokens->Read(&event);
    if (!more) break;
    grant.MarkActivated(admission::Role::kLlm);
    // The first token says that the whole prompt has been read: the embeddings are no longer needed.
    if (encoding != nullptr) encoding->Close();
    const std::string shown = progress.Take(event, parts_.clock.Now());
    if (shown.empty()) continue;
    piece.set_text_delta(shown);
    const bool taken = co_await progress.answer.Piece(piece);
    unread = !taken;
  }
  // After a stop string the worker is still at work: cancel it and drop the overrun.
  if (progress.text.stopped() || unread) tokens->Cancel();
  const absl::Status ended = co_await tokens->Finish();
  if (unread) co_return absl::CancelledError("the client reads no more");
  switch (progress.reason) {
    case v1::FINISH_REASON_UNSPECIFIED: {
      const absl::Status early = absl::InternalError("the llm-worker ended the stream early");
      co_return progress.Failed(*leg, ended.ok() ? early : ended, tokens->accepted());
    }
    case v1::FINISH_REASON_CANCELLED:
      co_return Cancelled();
    case v1::FINISH_REASON_ERROR:
      co_return absl::InternalError("the llm-worker failed on this request");
    default:
      // The answer is complete; how the stream closed after it changes nothing.
      co_return absl::OkStatus();
  }
}

absl::StatusOr<v1::LlmGenerateRequest> Pipeline::GenerateMessage(HeldGrant& grant, const VisionEncoding* encoding,
                                                                 const Progress& progress) const {
  const PreparedRequest& prepared = progress.prepared;
  v1::LlmGenerateRequest generate;
  *generate.mutable_context() = progress.Context();
  HEADROOM_ASSIGN_OR_RETURN(*generate.mutable_grant(), grant.Forward());
  generate.mutable_model()->set_sha256(progress.model.fingerprint);
  generate.mutable_prompt_ids()->Assign(prepared.prompt_ids.begin(), prepared.prompt_ids.end());
  generate.mutable_continued_ids()->Assign(progress.answer_ids.begin(), progress.answer_ids.end());
  if (encoding != nullptr) {
    for (const v1::ImageEncoded& image : encoding->encoded()) *generate.add_refs() = image.ref();
    generate.mutable_spans()->Assign(prepared.spans.begin(), prepared.spans.end());
  }
  *generate.mutable_sampling() = prepared.sampling;
  generate.set_max_tokens(prepared.max_tokens);
  generate.mutable_stop_ids()->Assign(progress.model.stop_ids.begin(), progress.model.stop_ids.end());
  return generate;
}

}  // namespace headroom::gateway
