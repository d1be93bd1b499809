#include "llm-worker/service.h"

#include <stop_token>
#include <vector>

#include "admission/link/convert.h"
#include "common/check.h"
#include "common/error_details.h"
#include "common/rpc/acceptance.h"
#include "common/rpc/status.h"
#include "llm-worker/generate_request.h"
#include "worker/refusal.h"

namespace headroom::llm_worker {
namespace {

v1::FinishReason ToProto(Finish finish) {
  switch (finish) {
    case Finish::kNone:
      return v1::FINISH_REASON_UNSPECIFIED;
    case Finish::kStop:
      return v1::FINISH_REASON_STOP;
    case Finish::kLength:
      return v1::FINISH_REASON_LENGTH;
    case Finish::kCancelled:
      return v1::FINISH_REASON_CANCELLED;
  }
  return v1::FINISH_REASON_ERROR;
}

template <typename Message>
void AddTop(const std::vector<TokenLogprob>& top, Message& message) {
  for (const TokenLogprob& likely : top) {
    v1::TokenAlternative& told = *message.add_top();
    told.set_token(likely.token);
    told.set_logprob(likely.logprob);
  }
}

void FillMessage(const AnswerEvent& event, v1::TokenEvent& message) {
  message.Clear();
  message.set_choice(event.choice);
  message.set_index(event.index);
  message.set_has_token(event.has_token);
  message.set_token(event.token);
  message.set_finish(ToProto(event.finish));
  if (event.logprobs == nullptr) return;
  if (event.logprobs->of_token.has_value()) message.set_logprob(*event.logprobs->of_token);
  AddTop(event.logprobs->top, message);
  for (const PromptLogprob& position : event.logprobs->prompt) {
    v1::PromptLogprob& told = *message.add_prompt_logprobs();
    if (position.logprob.has_value()) told.set_logprob(*position.logprob);
    AddTop(position.top, told);
  }
}

}  // namespace

// One Generate call. Held by itself until OnDone; the stream's callback and the fetch task hold it as long as they run.
class GenerateCall final : public grpc::ServerWriteReactor<v1::TokenEvent>,
                           public std::enable_shared_from_this<GenerateCall> {
 public:
  GenerateCall(LlmService& service, grpc::CallbackServerContext* context, const v1::LlmGenerateRequest* request)
      : service_(service), context_(context), request_(*request) {}

  void Start() {
    self_ = shared_from_this();
    stream_ = std::make_shared<TokenStream>(service_.parts_.clock, [weak = weak_from_this()] {
      if (const auto call = weak.lock()) call->Pump();
    });
    if (const absl::Status status = Admit(); !status.ok()) Fail(status);
  }

  void OnSendInitialMetadataDone(bool ok) override {
    const absl::Status status = ok ? Proceed() : absl::CancelledError("the client is gone");
    if (status.ok()) return;
    admitted_.reset();
    Fail(status);
  }

  void OnWriteDone(bool ok) override {
    std::unique_lock lock(mutex_);
    writing_ = false;
    if (!ok) {
      stream_->Cancel();
      FinishLocked(grpc::Status(grpc::StatusCode::CANCELLED, "the client reads no more"));
    } else if (last_written_) {
      FinishLocked(grpc::Status::OK);
    } else {
      PumpLocked();
    }
  }

  void OnCancel() override {
    stream_->Cancel();
    stop_.request_stop();
  }

  void OnDone() override {
    {
      std::lock_guard lock(mutex_);
      done_ = true;
    }
    std::lock_guard lock(service_.mutex_);
    service_.calls_.erase(this);
    self_.reset();  // the last use of this object, unless a callback still holds it
  }

  // True when the call was cancelled because of it.
  bool CancelIfUnread(TimePoint before) {
    const std::optional<TimePoint> since = stream_->UnreadSince();
    if (!since.has_value() || *since >= before) return false;
    std::lock_guard lock(mutex_);
    if (done_) return false;
    context_->TryCancel();
    return true;
  }

 private:
  using Admitted = std::pair<SequenceRequest, KvBlocks>;

  // Checks, activates the leg and says so.
  absl::Status Admit() {
    const LlmService::Options& options = service_.options_;
    HEADROOM_RETURN_IF_ERROR(CheckMessage(request_, options));
    SequenceRequest sequence = ToSequence(request_, options.limits);
    HEADROOM_RETURN_IF_ERROR(CheckSequenceRequest(sequence, options.limits));
    HEADROOM_ASSIGN_OR_RETURN(const admission::Grant grant, admission::FromProto(request_.grant()));
    if (const admission::Leg* leg = grant.Find(admission::Role::kLlm)) {
      HEADROOM_RETURN_IF_ERROR(CheckPrice(request_, leg->resources, options));
    }
    absl::StatusOr<admission::ActiveLeg> leg = service_.parts_.gate.Activate(grant, admission::Role::kLlm);
    if (!leg.ok()) return worker::GateRefusal(leg.status());
    admitted_ = std::make_shared<Admitted>(std::move(sequence), service_.parts_.pool.Reserve(std::move(*leg)));
    // No work before the client can know that it has begun.
    rpc::MarkAccepted(*context_);
    StartSendInitialMetadata();
    return absl::OkStatus();
  }

  // Grammar, embeddings, engine: what the request needs of these, one after the other.
  absl::Status Proceed() {
    if (!request_.has_constraint()) return FetchOrSubmit(std::move(admitted_));
    // std::function wants copies.
    const bool queued = service_.compilers_.TrySubmit([call = shared_from_this(), held = std::move(admitted_)] {
      absl::Status status = call->Constrain(held->first);
      if (status.ok()) status = call->FetchOrSubmit(held);
      if (status.ok()) return;
      held->second.Release();
      call->Fail(status);
    });
    return queued ? absl::OkStatus() : RefusalError(RefusalReason::kNoRoom, "too many requests wait for grammars");
  }

  absl::Status FetchOrSubmit(const std::shared_ptr<Admitted>& held) {
    if (request_.refs_size() == 0) return Submit(std::move(held->first), std::move(held->second));
    const bool queued = service_.fetchers_.TrySubmit(
        [call = shared_from_this(), held] { call->Fetch(std::move(held->first), std::move(held->second)); });
    return queued ? absl::OkStatus() : RefusalError(RefusalReason::kNoRoom, "too many requests wait for embeddings");
  }

  // On the compile pool: the grammar, and each choice stepped over the ids that it has.
  absl::Status Constrain(SequenceRequest& sequence) {
    if (stream_->cancelled()) return absl::CancelledError("cancelled");
    GrammarStore& grammars = service_.parts_.grammars;
    const v1::Grammar& wanted = request_.constraint();
    absl::StatusOr<std::shared_ptr<HeldGrammar>> grammar = grammars.Get(wanted.json_schema());
    if (absl::IsResourceExhausted(grammar.status())) {
      return RefusalError(RefusalReason::kNoRoom, std::string(grammar.status().message()));
    }
    HEADROOM_RETURN_IF_ERROR(grammar.status());
    for (const ContinuedChoice& choice : sequence.Choices()) {
      if (stream_->cancelled()) return absl::CancelledError("cancelled");
      HEADROOM_ASSIGN_OR_RETURN(auto matcher, grammars.Match(**grammar, sequence.stop_ids));
      auto text = std::make_shared<ConstrainedText>(
          *grammar, std::move(matcher), std::vector<int32_t>(wanted.after_ids().begin(), wanted.after_ids().end()),
          sequence.stop_ids, grammars.vocabulary());
      HEADROOM_RETURN_IF_ERROR(text->Begin(choice.ids));
      sequence.texts.push_back(std::move(text));
    }
    return absl::OkStatus();
  }

  // On the fetch pool.
  void Fetch(SequenceRequest sequence, KvBlocks blocks) {
    service_.fetches_.Increment();
    absl::Status status = FetchRuns(sequence);
    if (status.ok()) {
      status = Submit(std::move(sequence), std::move(blocks));
    } else {
      service_.fetch_failures_.Increment();
      blocks.Release();
      if (absl::IsUnavailable(status)) {
        status = RefusalError(RefusalReason::kEmbeddingsNotAvailable, std::string(status.message()));
      }
    }
    if (!status.ok()) Fail(status);
  }

  absl::Status FetchRuns(SequenceRequest& sequence) {
    for (int ref = 0; ref < request_.refs_size(); ++ref) {
      if (stream_->cancelled()) return absl::CancelledError("cancelled");
      HEADROOM_ASSIGN_OR_RETURN(std::vector<std::string> pieces,
                                FetchEmbeddings(service_.parts_.channels, request_.refs(ref), request_.grant().id(),
                                                service_.options_.embedding, context_->deadline(), stop_.get_token()));
      for (int i = 0; i < request_.spans_size(); ++i) {
        const v1::EmbeddingSpan& span = request_.spans(i);
        if (span.ref() == ref)
          sequence.runs[static_cast<size_t>(i)].data = std::move(pieces[static_cast<size_t>(span.piece())]);
      }
    }
    return absl::OkStatus();
  }

  absl::Status Submit(SequenceRequest sequence, KvBlocks blocks) {
    const absl::Status status = service_.parts_.engine.Submit(std::move(sequence), stream_, std::move(blocks));
    if (!absl::IsResourceExhausted(status) && !absl::IsUnavailable(status)) return status;
    return RefusalError(RefusalReason::kNoRoom, std::string(status.message()));
  }

  void Fail(const absl::Status& status) { stream_->Push({.error = status}); }

  void Pump() {
    std::lock_guard lock(mutex_);
    PumpLocked();
  }

  // gRPC runs no reaction inside StartWrite or Finish, so both may be called under the lock.
  void PumpLocked() {
    if (writing_ || finished_) return;
    const std::optional<AnswerEvent> event = stream_->Take();
    if (!event.has_value()) return;
    if (!event->error.ok()) return FinishLocked(rpc::ToGrpc(event->error));
    FillMessage(*event, message_);
    if (event->last()) {
      v1::Usage& usage = *message_.mutable_usage();
      usage.set_prompt_tokens(event->usage.prompt_tokens);
      usage.set_image_tokens(event->usage.image_tokens);
      usage.set_completion_tokens(event->usage.completion_tokens);
      usage.set_images(request_.refs_size());
      usage.set_pieces(request_.spans_size());
    }
    last_written_ = event->last();
    writing_ = true;
    StartWrite(&message_);
  }

  void FinishLocked(const grpc::Status& status) {
    if (finished_) return;
    finished_ = true;
    service_.CountOutcome(status.error_code());
    Finish(status);
  }

  LlmService& service_;
  grpc::CallbackServerContext* const context_;
  const v1::LlmGenerateRequest& request_;  // gRPC's, good until OnDone
  std::shared_ptr<GenerateCall> self_;
  std::shared_ptr<TokenStream> stream_;
  std::shared_ptr<Admitted> admitted_;  // until the client knows
  std::stop_source stop_;
  std::mutex mutex_;
  v1::TokenEvent message_;
  bool writing_ = false;
  bool last_written_ = false;
  bool finished_ = false;
  bool done_ = false;
};

constexpr char kRequests[] = "headroom_llm_requests_total";

LlmService::LlmService(Parts parts, Options options, Metrics& metrics)
    : parts_(parts),
      options_(std::move(options)),
      answered_(metrics.AddCounter(kRequests, {{"model", options_.model_name}, {"outcome", "answered"}})),
      cancelled_(metrics.AddCounter(kRequests, {{"model", options_.model_name}, {"outcome", "cancelled"}})),
      refused_(metrics.AddCounter(kRequests, {{"model", options_.model_name}, {"outcome", "refused"}})),
      failed_(metrics.AddCounter(kRequests, {{"model", options_.model_name}, {"outcome", "failed"}})),
      fetches_(metrics.AddCounter("headroom_llm_fetches_total", {{"model", options_.model_name}})),
      fetch_failures_(metrics.AddCounter("headroom_llm_fetch_failures_total", {{"model", options_.model_name}})),
      unread_cancels_(metrics.AddCounter("headroom_llm_unread_cancels_total", {{"model", options_.model_name}})),
      fetchers_("llm-fetch", options_.fetch_threads, static_cast<size_t>(options_.fetches_waiting_max)),
      compilers_("llm-grammar", options_.compile_threads, static_cast<size_t>(options_.fetches_waiting_max)) {}

LlmService::~LlmService() {
  compilers_.Shutdown();  // gives work to the other
  fetchers_.Shutdown();
  HEADROOM_CHECK(calls_.empty()) << "the service dies before its calls";
}

grpc::ServerWriteReactor<v1::TokenEvent>* LlmService::Generate(grpc::CallbackServerContext* context,
                                                               const v1::LlmGenerateRequest* request) {
  const auto call = std::make_shared<GenerateCall>(*this, context, request);
  {
    std::lock_guard lock(mutex_);
    calls_[call.get()] = call;
  }
  call->Start();
  return call.get();
}

void LlmService::CountOutcome(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::OK:
      return answered_.Increment();
    case grpc::StatusCode::CANCELLED:
      return cancelled_.Increment();
    case grpc::StatusCode::INTERNAL:
    case grpc::StatusCode::UNKNOWN:
      return failed_.Increment();
    default:
      return refused_.Increment();
  }
}

void LlmService::CancelUnread() {
  std::vector<std::shared_ptr<GenerateCall>> calls;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [raw, weak] : calls_) {
      if (auto call = weak.lock()) calls.push_back(std::move(call));
    }
  }
  const TimePoint before = parts_.clock.Now() - options_.unread_max;
  for (const auto& call : calls) {
    if (call->CancelIfUnread(before)) unread_cancels_.Increment();
  }
}

}  // namespace headroom::llm_worker
