#include "gateway/request_runner.h"

#include <algorithm>
#include <thread>

#include "common/log.h"
#include "common/utf8.h"
#include "gateway/request_id.h"

namespace headroom::gateway {

int RequestThreads::Count() { return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 2, 16); }

RequestThreads::RequestThreads(int64_t requests_max)
    : steps("request steps", Count(), static_cast<size_t>(requests_max)),
      prepare("prepare", Count(), static_cast<size_t>(requests_max)) {}

// Declared in the order of need: its place is given back last.
template <typename Request, typename Response, typename Way>
struct RequestRunner::Open {
  Place place;
  ArrivalOf<Request> arrival;
  std::shared_ptr<PieceSink<Response>> sink;
  std::stop_source stop;
  TimePoint started;
  CallScope scope;
  Way answer;
  Request request = {};
  Response last = {};
  std::string request_id = {};
  RequestTimes times = {};
};

RequestRunner::RequestRunner(const PipelineParts& parts, RequestThreads& threads, Metrics& metrics)
    : parts_(parts), threads_(threads), metrics_(parts.models, metrics), pipeline_(parts), embedder_(parts) {}

RequestRunner::~RequestRunner() {
  std::unique_lock lock(mutex_);
  all_over_.wait(lock, [this] { return open_ == 0; });
}

RequestRunner::Place::~Place() {
  if (runner_ != nullptr) runner_->Leave();
}

absl::Status RequestRunner::Place::Grow(int64_t message_bytes) {
  auto bytes = runner_->parts_.host_budget.Take(message_bytes);
  HEADROOM_RETURN_IF_ERROR(runner_->Refuse(bytes.status()));
  bytes_.Add(*std::move(bytes));
  return absl::OkStatus();
}

absl::StatusOr<RequestRunner::Place> RequestRunner::Enter(int64_t message_bytes) {
  HEADROOM_RETURN_IF_ERROR(Refuse(TakePlace()));
  Place place(this);
  auto bytes = parts_.host_budget.Take(kRequestBytes + message_bytes);
  HEADROOM_RETURN_IF_ERROR(Refuse(bytes.status()));
  place.bytes_ = *std::move(bytes);
  return place;
}

absl::Status RequestRunner::TakePlace() {
  if (draining_) {
    return OwnRefusal(RefusalReason::kDraining, "the gateway is draining", {}, std::chrono::seconds(1));
  }
  if (++running_ > parts_.config.requests_running_max) {
    --running_;
    const int64_t limit = parts_.config.requests_running_max;
    return OwnRefusal(RefusalReason::kGatewayFull,
                      absl::StrCat("the gateway runs ", limit, " requests, its limit (requests_running_max)"),
                      admission::Shortfall{"requests_running", "", 1, 0, limit}, std::chrono::seconds(1));
  }
  metrics_.running.Add(1);
  return absl::OkStatus();
}

void RequestRunner::Leave() {
  metrics_.running.Add(-1);
  --running_;
}

// Its message has not been read, so it has no id.
absl::Status RequestRunner::Refuse(absl::Status status) {
  if (status.ok()) return status;
  metrics_.RecordEnd(status);
  refusals_.Note(status, "", parts_.clock.Now());
  return status;
}

RequestRunner::Handle RequestRunner::Submit(Place place, Arrival arrival, std::shared_ptr<AnswerSink> sink) {
  return Begin<Generation>(std::move(place), std::move(arrival), std::move(sink));
}

RequestRunner::Handle RequestRunner::Submit(Place place, EmbedArrival arrival, std::shared_ptr<RowsSink> sink) {
  return Begin<Embedding>(std::move(place), std::move(arrival), std::move(sink));
}

template <typename Opened, typename Request, typename Response>
RequestRunner::Handle RequestRunner::Begin(Place place, ArrivalOf<Request> arrival,
                                           std::shared_ptr<PieceSink<Response>> sink) {
  const auto latest = std::chrono::system_clock::now() + std::chrono::milliseconds(parts_.config.deadline_ms_default);
  std::stop_source stop;
  const CallScope scope{arrival.deadline.value_or(latest), stop.get_token()};
  const auto unread_max = std::chrono::milliseconds(parts_.config.unread_ms_max);
  PieceSink<Response>& answered = *sink;
  auto open =
      std::unique_ptr<Opened>(new Opened{.place = std::move(place),
                                         .arrival = std::move(arrival),
                                         .sink = std::move(sink),
                                         .stop = stop,
                                         .started = parts_.clock.Now(),
                                         .scope = scope,
                                         .answer = {answered, threads_.steps, threads_.timers, unread_max, stop}});
  {
    std::lock_guard lock(mutex_);
    ++open_;
  }
  Serve(std::move(open));
  return Handle(std::move(stop));
}

template <typename Opened>
Detached RequestRunner::Serve(std::unique_ptr<Opened> open) {
  co_await threads_.prepare.Switch();
  const absl::Status run = co_await Run(*open);
  Record(*open, run);
  const absl::Status status = co_await Deliver(*open, run);
  // Whoever sees the end finds the place free.
  auto sink = std::move(open->sink);
  open.reset();
  sink->End(status);
  sink.reset();
  std::lock_guard lock(mutex_);
  if (--open_ == 0) all_over_.notify_all();
}

template <typename Opened>
Task<absl::Status> RequestRunner::Run(Opened& open) {
  // Its client may have left while it waited for its turn.
  const bool left = open.scope.stop.stop_requested();
  const absl::Status read = left ? absl::CancelledError("the request was cancelled") : open.arrival.read(&open.request);
  open.request_id = RequestIdFor(open.request.request_id());
  HEADROOM_CO_RETURN_IF_ERROR(read);
  HEADROOM_CO_RETURN_IF_ERROR(CheckRequestId(open.request.request_id()));
  const absl::Status lived = co_await Live(open);
  co_return lived;
}

Task<absl::Status> RequestRunner::Live(Generation& open) {
  HEADROOM_CO_ASSIGN_OR_RETURN(
      open.last, co_await pipeline_.Run(open.request, open.request_id, open.scope, open.answer, open.times));
  co_return absl::OkStatus();
}

Task<absl::Status> RequestRunner::Live(Embedding& open) {
  HEADROOM_CO_ASSIGN_OR_RETURN(
      open.last, co_await embedder_.Run(open.request, open.request_id, open.scope, open.answer, open.times));
  co_return absl::OkStatus();
}

// The last piece of a whole answer; of any other, what has been written goes out before the error.
template <typename Opened>
Task<absl::Status> RequestRunner::Deliver(Opened& open, const absl::Status& run) {
  if (!run.ok()) {
    co_await open.answer.Drained();
    co_return run;
  }
  bool taken = co_await open.answer.Piece(open.last);
  if (taken) taken = co_await open.answer.Drained();
  co_return taken ? absl::OkStatus() : absl::CancelledError("the client reads no more");
}

template <typename Opened>
void RequestRunner::Record(const Opened& open, const absl::Status& run) {
  refusals_.Note(run, open.request_id, parts_.clock.Now());
  const double seconds = Seconds(parts_.clock.Now() - open.started);
  const v1::Usage& usage = open.last.finish().usage();
  metrics_.Record(open.request.model(), run, usage, open.times, seconds);
  Log(LogLevel::kInfo, "gateway", "request")
      .With("request", open.request_id)
      .With("model", CutText(open.request.model(), 64))
      .With("status", absl::StatusCodeToString(run.code()))
      .With("seconds", seconds)
      .With("first_token_seconds", open.times.first_token_seconds.value_or(0))
      .With("prompt_tokens", usage.prompt_tokens())
      .With("completion_tokens", usage.completion_tokens())
      .With("pieces", usage.pieces());
}

}  // namespace headroom::gateway
