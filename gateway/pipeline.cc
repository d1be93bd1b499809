#include "gateway/pipeline.h"

#include <algorithm>

#include "admission/link/convert.h"
#include "common/error_details.h"
#include "common/log.h"
#include "common/random.h"
#include "gateway/choice_text.h"
#include "gateway/own_refusals.h"

namespace headroom::gateway {
namespace {

// Refusals of workers that had not begun with the request. A rollout makes one or two.
constexpr int kRefusalsMax = 3;
constexpr std::chrono::milliseconds kRetryMin(50);
constexpr std::chrono::milliseconds kRetryMax(1'000);
// Of a token of prompt or answer while a request is open: its id here and in a message, and what it adds to a whole
// answer's text.
constexpr int64_t kTokenBytes = 16;
// Of a token that is named with its logprob.
constexpr int64_t kLogprobBytes = 96;

int64_t AnswerBytes(const v1::GenerateRequest& request, const PreparedRequest& prepared) {
  const int64_t of_answer = request.has_logprobs() ? 1 + request.logprobs() : 0;
  const int64_t of_prompt = request.has_prompt_logprobs() ? 1 + request.prompt_logprobs() : 0;
  return prepared.usage.prompt_tokens() * (kTokenBytes + of_prompt * kLogprobBytes) +
         prepared.choices * prepared.max_tokens * (kTokenBytes + of_answer * kLogprobBytes);
}

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
  std::vector<ChoiceText> choices = {};
  int64_t prompt_told = 0;                           // positions of the prompt whose logprobs have come
  std::vector<std::string> exclude_workers = {};     // lost ones
  std::string failed_worker = {};                    // set when a worker ended this round
  std::optional<RefusalReason> failure_reason = {};  // what it gave
  bool touched = false;                              // it had begun with the request
  int refusals = 0;
  int losses = 0;
  int last = 0;                                             // the choice that ended last
  v1::FinishReason failed = v1::FINISH_REASON_UNSPECIFIED;  // the request's as a whole

  int64_t AnswerTokens() const {
    int64_t tokens = 0;
    for (const ChoiceText& choice : choices) tokens += static_cast<int64_t>(choice.ids().size());
    return tokens;
  }
  bool Over() const { return std::ranges::all_of(choices, &ChoiceText::over); }

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
    return AnswerTokens() > 0 && ++losses <= 1;
  }

  // Takes one event of the llm-worker: what the client may see now. False for one that makes no sense.
  bool Take(const v1::TokenEvent& event, TimePoint now, v1::GenerateResponse* piece) {
    if (event.choice() < 0 || event.choice() >= static_cast<int>(choices.size())) return false;
    const auto& prompt = prepared.prompt_ids;
    if (event.prompt_logprobs_size() > static_cast<int64_t>(prompt.size()) - prompt_told) return false;
    for (const v1::PromptLogprob& told : event.prompt_logprobs()) {
      const int32_t id = prompt[static_cast<size_t>(prompt_told++)];
      *piece->add_prompt_logprobs() = ToPublic(*model.tokenizer, id, told);
    }
    if (event.finish() == v1::FINISH_REASON_CANCELLED || event.finish() == v1::FINISH_REASON_ERROR) {
      failed = event.finish();
      return true;
    }
    ChoiceText& choice = choices[static_cast<size_t>(event.choice())];
    if (choice.over()) return true;
    if (event.has_token()) {
      times.last_token_seconds = Seconds(now - started);
      if (!times.first_token_seconds.has_value()) times.first_token_seconds = times.last_token_seconds;
    }
    choice.Take(event, piece);
    if (!choice.over()) return true;
    last = choice.choice();
    if (!Over()) *piece->mutable_finish() = FinishOf(choice);
    return true;
  }

  v1::Finish FinishOf(const ChoiceText& choice) const {
    v1::Finish finish;
    finish.set_reason(choice.reason());
    finish.set_seed(prepared.sampling.seed());
    finish.set_request_id(request_id);
    return finish;
  }

  v1::GenerateResponse LastPiece() const {
    v1::GenerateResponse piece;
    piece.set_choice(last);
    *piece.mutable_finish() = FinishOf(choices[static_cast<size_t>(last)]);
    *piece.mutable_finish()->mutable_usage() = prepared.usage;
    piece.mutable_finish()->mutable_usage()->set_completion_tokens(AnswerTokens());
    int64_t reasoning = 0;
    for (const ChoiceText& choice : choices) reasoning += choice.reasoning_tokens();
    piece.mutable_finish()->set_reasoning_tokens(reasoning);
    return piece;
  }
};

Task<absl::StatusOr<v1::GenerateResponse>> Pipeline::Run(const v1::GenerateRequest& request,
                                                         const std::string& request_id, const CallScope& scope,
                                                         Answer& answer, RequestTimes& times) const {
  HEADROOM_CO_ASSIGN_OR_RETURN(const ServedModel* const model, parts_.models.Find(request.model()));
  HEADROOM_CO_ASSIGN_OR_RETURN(const ClusterLimits limits, parts_.cluster.Limits(*model));
  HEADROOM_CO_ASSIGN_OR_RETURN(const PreparedRequest prepared, PrepareInBudget(request, *model, limits));
  HEADROOM_CO_ASSIGN_OR_RETURN(const HostBudget::Share tokens, parts_.host_budget.Take(AnswerBytes(request, prepared)));
  co_await parts_.executor.Switch();

  Progress progress{.request = request,
                    .request_id = request_id,
                    .scope = scope,
                    .model = *model,
                    .prepared = prepared,
                    .answer = answer,
                    .times = times,
                    .started = parts_.clock.Now()};
  // What follows a text is text.
  static const AnswerSyntax kNoMarks;
  const bool as_it_is = !request.prompt().empty();
  for (int32_t choice = 0; choice < prepared.choices; ++choice) {
    progress.choices.emplace_back(
        *model->tokenizer, choice,
        TextStream(*model->tokenizer, prepared.stop_strings, prepared.min_tokens, model->marker_ids),
        ReasoningTokens(as_it_is ? kNoMarks : model->answer_syntax, prepared.thinks));
  }
  if (!as_it_is) answer.ParseWith(ParserFor(request, *model, prepared.thinks));
  while (true) {
    progress.failed_worker.clear();
    const auto grant = co_await Reserve(progress);
    if (!grant.ok()) co_return grant.status();
    answer.Granted();
    const absl::Status status = co_await Work(**grant, progress);
    (co_await parts_.grants.Release(**grant)).IgnoreError();  // what does not come back expires
    if (status.ok()) co_return progress.LastPiece();
    if (scope.stop.stop_requested()) co_return Cancelled();
    if (!progress.Move(status)) co_return status;
    Log(LogLevel::kWarning, "gateway", "request asks for a new grant")
        .With("request", request_id)
        .With("from", progress.failed_worker)
        .With("tokens", progress.AnswerTokens());
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
  if (*encoding != nullptr) (co_await (*encoding)->End()).IgnoreError();
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
    (co_await (*encoding)->End()).IgnoreError();
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
  bool nonsense = false;
  while (!progress.Over() && progress.failed == v1::FINISH_REASON_UNSPECIFIED && !unread) {
    v1::TokenEvent event;
    const bool more = co_await tokens->Read(&event);
    if (!more) break;
    grant.MarkActivated(admission::Role::kLlm);
    // The first token says that the whole prompt has been read: the embeddings are no longer needed.
    if (encoding != nullptr && event.has_token()) encoding->Close();
    piece.Clear();
    nonsense = !progress.Take(event, parts_.clock.Now(), &piece);
    if (nonsense) break;
    const bool taken = co_await progress.answer.Piece(piece);
    unread = !taken;
  }
  // After a stop string the worker is still at work: cancel it and drop the overrun.
  if (unread || nonsense || std::ranges::any_of(progress.choices, &ChoiceText::stopped)) tokens->Cancel();
  const absl::Status ended = co_await tokens->Finish();
  if (unread) co_return absl::CancelledError("the client reads no more");
  if (nonsense) co_return absl::InternalError("the llm-worker answered for another request");
  // The answer is complete; how the stream closed after it changes nothing.
  if (progress.Over()) co_return absl::OkStatus();
  switch (progress.failed) {
    case v1::FINISH_REASON_CANCELLED:
      co_return Cancelled();
    case v1::FINISH_REASON_ERROR:
      co_return absl::InternalError("the llm-worker failed on this request");
    default: {
      const absl::Status early = absl::InternalError("the llm-worker ended the stream early");
      co_return progress.Failed(*leg, ended.ok() ? early : ended, tokens->accepted());
    }
  }
}

// How many there are, and what those that are not over have already.
void Pipeline::AddChoices(const Progress& progress, v1::LlmGenerateRequest* generate) {
  generate->set_n(progress.prepared.choices);
  if (progress.prepared.choices == 1) {
    const std::vector<int32_t>& ids = progress.choices.front().ids();
    generate->mutable_continued_ids()->Assign(ids.begin(), ids.end());
    return;
  }
  if (progress.AnswerTokens() == 0) return;
  for (const ChoiceText& choice : progress.choices) {
    if (choice.over()) continue;
    v1::ContinuedChoice& continued = *generate->add_continued();
    continued.set_choice(choice.choice());
    continued.mutable_ids()->Assign(choice.ids().begin(), choice.ids().end());
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
  AddChoices(progress, &generate);
  if (encoding != nullptr) {
    for (const v1::ImageEncoded& image : encoding->encoded()) *generate.add_refs() = image.ref();
    generate.mutable_spans()->Assign(prepared.spans.begin(), prepared.spans.end());
  }
  *generate.mutable_sampling() = prepared.sampling;
  generate.set_max_tokens(prepared.max_tokens);
  generate.set_min_tokens(prepared.min_tokens);
  generate.mutable_stop_ids()->Assign(prepared.stop_ids.begin(), prepared.stop_ids.end());
  const v1::GenerateRequest& request = progress.request;
  if (prepared.constraint) *generate.mutable_constraint() = *prepared.constraint;
  if (request.has_logprobs()) generate.set_logprobs(request.logprobs());
  // Those have come before the first token.
  if (request.has_prompt_logprobs() && progress.AnswerTokens() == 0) {
    generate.set_prompt_logprobs(request.prompt_logprobs());
  }
  return generate;
}

}  // namespace headroom::gateway
