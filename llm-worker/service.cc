#include "llm-worker/service.h"

#include <algorithm>
#include <set>
#include <stop_token>
#include <vector>

#include "admission/link/convert.h"
#include "admission/price.h"
#include "common/check.h"
#include "common/error_details.h"
#include "common/rpc/acceptance.h"
#include "common/rpc/status.h"
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

// What the message says that is not the sequence's own business.
absl::Status CheckEnvelope(const v1::LlmGenerateRequest& request, const LlmService::Options& options) {
  if (request.model().sha256() != options.model)
    return absl::FailedPreconditionError("another model than this worker's");
  if (request.has_constraint()) return absl::InvalidArgumentError("constraint is not supported");
  if (!request.has_sampling()) return absl::InvalidArgumentError("sampling is missing");
  if (request.refs_size() > 0 && options.embedding.rows_per_piece == 0) {
    return absl::InvalidArgumentError("the model takes no images");
  }
  return absl::OkStatus();
}

absl::Status CheckSpans(const v1::LlmGenerateRequest& request, const EmbeddingShape& shape) {
  for (const v1::EmbeddingRef& ref : request.refs()) HEADROOM_RETURN_IF_ERROR(CheckRef(ref, shape));
  std::set<std::pair<int32_t, int64_t>> seen;
  for (const v1::EmbeddingSpan& span : request.spans()) {
    if (!seen.emplace(span.ref(), span.piece()).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("piece ", span.piece(), " of image ", span.ref(), " has two spans"));
    }
    if (span.ref() < 0 || span.ref() >= request.refs_size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("span of image ", span.ref(), ", there are ", request.refs_size()));
    }
    const int64_t pieces = request.refs(span.ref()).pieces();
    if (span.piece() < 0 || span.piece() >= pieces) {
      return absl::InvalidArgumentError(absl::StrCat("span of piece ", span.piece(), ", the image has ", pieces));
    }
    if (span.rows() != shape.rows_per_piece) {
      return absl::InvalidArgumentError(
          absl::StrCat("span of ", span.rows(), " rows, a piece has ", shape.rows_per_piece));
    }
  }
  return absl::OkStatus();
}

// The leg pays for what the request will hold: blocks for every token, host memory for every piece.
absl::Status CheckPrice(const v1::LlmGenerateRequest& request, const admission::Resources& leg,
                        const LlmService::Options& options) {
  const int64_t prompt = request.prompt_ids_size(), n = std::max(request.n(), 1);
  const int64_t blocks = admission::ChoiceBlocks(prompt, request.max_tokens(), n, options.block_size);
  if (leg.kv_blocks < blocks) {
    return absl::InvalidArgumentError(
        absl::StrCat("the grant has ", leg.kv_blocks, " KV blocks, the request needs ", blocks));
  }
  if (leg.slots < n) {
    return absl::InvalidArgumentError(
        absl::StrCat("the grant has ", leg.slots, " slots, the request has ", n, " choices"));
  }
  const int64_t piece_bytes = options.embedding.piece_bytes();
  if (piece_bytes == 0) return absl::OkStatus();
  int64_t left = leg.host_bytes / piece_bytes;
  for (const v1::EmbeddingRef& ref : request.refs()) {
    if (ref.pieces() > left) {
      return absl::InvalidArgumentError(absl::StrCat("the grant has ", leg.host_bytes, " host bytes, the pieces of ",
                                                     request.refs_size(), " images need more"));
    }
    left -= ref.pieces();
  }
  return absl::OkStatus();
}

SequenceRequest ToSequence(const v1::LlmGenerateRequest& request) {
  SequenceRequest sequence;
  sequence.prompt_ids.assign(request.prompt_ids().begin(), request.prompt_ids().end());
  sequence.continued_ids.assign(request.continued_ids().begin(), request.continued_ids().end());
  sequence.stop_ids.assign(request.stop_ids().begin(), request.stop_ids().end());
  sequence.max_tokens = request.max_tokens();
  sequence.sampling = {.temperature = request.sampling().temperature(),
                       .top_p = request.sampling().top_p(),
                       .top_k = request.sampling().top_k(),
                       .repetition_penalty = request.sampling().repetition_penalty(),
                       .min_p = request.sampling().min_p(),
                       .seed = request.sampling().seed()};
  sequence.rules = {.presence_penalty = request.sampling().presence_penalty(),
                    .frequency_penalty = request.sampling().frequency_penalty(),
                    .bias = {request.sampling().logit_bias().begin(), request.sampling().logit_bias().end()},
                    .min_tokens = request.min_tokens()};
  sequence.n = request.n() == 0 ? 1 : request.n();
  for (const v1::ContinuedChoice& choice : request.continued()) {
    sequence.continued.push_back({.choice = choice.choice(), .ids = {choice.ids().begin(), choice.ids().end()}});
  }
  if (request.has_logprobs()) sequence.logprobs = request.logprobs();
  if (request.has_prompt_logprobs()) sequence.prompt_logprobs = request.prompt_logprobs();
  for (const v1::EmbeddingSpan& span : request.spans()) {
    sequence.runs.push_back({.begin = span.begin(), .rows = span.rows(), .data = {}});
  }
  return sequence;
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
    HEADROOM_RETURN_IF_ERROR(CheckEnvelope(request_, options));
    HEADROOM_RETURN_IF_ERROR(CheckSpans(request_, options.embedding));
    SequenceRequest sequence = ToSequence(request_);
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

  absl::Status Proceed() {
    // std::function wants copies.
    const std::shared_ptr<Admitted> held = std::move(admitted_);
    if (request_.refs_size() == 0) return Submit(std::move(held->first), std::move(held->second));
    const bool queued = service_.fetchers_.TrySubmit(
        [call = shared_from_this(), held] { call->Fetch(std::move(held->first), std::move(held->second)); });
    return queued ? absl::OkStatus() : RefusalError(RefusalReason::kNoRoom, "too many requests wait for embeddings");
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
      fetchers_("llm-fetch", options_.fetch_threads, static_cast<size_t>(options_.fetches_waiting_max)) {}

LlmService::~LlmService() {
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
