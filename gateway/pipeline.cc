#include "gateway/pipeline.h"

#include <algorithm>

#include "common/log.h"
#include "gateway/choice_text.h"

namespace headroom::gateway {
namespace {

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
  int64_t prompt_told = 0;  // positions of the prompt whose logprobs have come
  Attempts attempts = {};
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
    progress.attempts.Begin();
    const auto grant = co_await Reserve(progress);
    if (!grant.ok()) co_return grant.status();
    answer.Granted();
    const absl::Status status = co_await Work(**grant, progress);
    (co_await parts_.grants.Release(**grant)).IgnoreError();  // what does not come back expires
    if (status.ok()) co_return progress.LastPiece();
    if (scope.stop.stop_requested()) co_return Cancelled();
    if (!progress.attempts.Move(status, progress.AnswerTokens() > 0)) co_return status;
    Log(LogLevel::kWarning, "gateway", "request asks for a new grant")
        .With("request", request_id)
        .With("from", progress.attempts.failed_worker())
        .With("tokens", progress.AnswerTokens());
  }
}

absl::StatusOr<PreparedRequest> Pipeline::PrepareInBudget(const v1::GenerateRequest& request, const ServedModel& model,
                                                          const ClusterLimits& limits) const {
  HEADROOM_ASSIGN_OR_RETURN(const HostBudget::Share work,
                            parts_.host_budget.Take(PrepareBytes(request, model, limits)));
  return Prepare(request, model, parts_.config, limits);
}

Task<absl::StatusOr<std::unique_ptr<HeldGrant>>> Pipeline::Reserve(Progress& progress) const {
  const v1::RequestContext context = progress.Context();
  const ReservationRequest wanted{context,           progress.model, progress.prepared.price,
                                  progress.attempts, progress.scope, progress.started};
  auto grant = co_await reservations_.Reserve(wanted);
  if (grant.ok() && !progress.attempts.moved()) {
    progress.times.queued_seconds = Seconds(parts_.clock.Now() - progress.started);
  }
  co_return grant;
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
  if (!encoding.ok()) co_return progress.attempts.Failed(*leg, encoding.status(), false);
  const absl::Status encoded = co_await (*encoding)->Encode(prepared.image_bytes);
  if (!encoded.ok()) {
    (co_await (*encoding)->End()).IgnoreError();
    co_return progress.attempts.Failed(*leg, encoded, (*encoding)->accepted());
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
    if (!opened.ok()) co_return progress.attempts.Failed(*leg, opened.status(), false);
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
      co_return progress.attempts.Failed(*leg, ended.ok() ? early : ended, tokens->accepted());
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
