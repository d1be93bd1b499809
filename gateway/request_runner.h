// Runs the requests of one gateway, whatever edge they came by: bounds their number and memory, leads each through its
// life (gateway/pipeline.h, gateway/embedder.h), counts, logs and remembers why it was refused. Knows no transport;
// several edges may stand beside each other.
//
// A request holds no thread while it waits for room, a worker or its client. What it holds is memory:
//   kRequestBytes                        itself: coroutine frames, three calls to other services, the edge's own call
//   what the edge charges on arrival     its message, as received and as read
//   kTokenBytes · (prompt + max_tokens)  ids and answer (gateway/pipeline.cc)
// all taken from the host budget before they are used, so that requests_running_max and host_bytes_max bound the whole.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "common/async/executor.h"
#include "common/async/timers.h"
#include "common/metrics.h"
#include "gateway/answer_sink.h"
#include "gateway/embedder.h"
#include "gateway/own_refusals.h"
#include "gateway/pipeline.h"
#include "gateway/request_metrics.h"
#include "headroom/v1/gateway.pb.h"

namespace headroom::gateway {

// A ceiling, not a measurement: each of 10,000 that wait takes about 5 KiB of heap here (request_runner_test), and up
// to 47 KB with the calls of gRPC (tools/bench/gateway_load.py; docs/memory.md).
inline constexpr int64_t kRequestBytes = int64_t{64} << 10;

// Threads that requests share. Made before, and gone after, what requests use.
class RequestThreads {
 public:
  // `requests_max`: at once.
  explicit RequestThreads(int64_t requests_max);

  Executor steps;    // what comes between two waits: short
  Executor prepare;  // reading and pricing a request: up to a second of computing, which must not delay streams
  Timers timers;

  static int Count();  // of each pool: as many as the machine computes at once, within [2, 16]
};

class RequestRunner {
 public:
  // Everything in `parts` must outlive this; `threads.steps` is `parts.executor`.
  RequestRunner(const PipelineParts& parts, RequestThreads& threads, Metrics& metrics);
  // Waits for the end of every request: edges cancel theirs before.
  ~RequestRunner();
  RequestRunner(const RequestRunner&) = delete;
  RequestRunner& operator=(const RequestRunner&) = delete;

  // One of the requests_running_max places, and memory for a message. Given back when it dies.
  class Place {
   public:
    Place(Place&& other) noexcept : runner_(std::exchange(other.runner_, nullptr)), bytes_(std::move(other.bytes_)) {}
    Place& operator=(Place&&) = delete;
    ~Place();

    // More memory, for a message whose length was not known. Refused as Enter() refuses, and counted.
    absl::Status Grow(int64_t message_bytes);

   private:
    friend class RequestRunner;
    explicit Place(RequestRunner* runner) : runner_(runner) {}

    RequestRunner* runner_;
    HostBudget::Share bytes_;
  };
  // For a request whose message takes `message_bytes` of memory, before it is read. Refused as DRAINING, GATEWAY_FULL
  // or NEVER_FITS (docs/refusals.md); counted and remembered here.
  absl::StatusOr<Place> Enter(int64_t message_bytes);

  template <typename Request>
  struct ArrivalOf {
    // Reads the message; heavy work, done on a thread of the runner. INVALID_ARGUMENT where it is none; its request_id,
    // if it could be read, is set all the same.
    std::function<absl::Status(Request* request)> read;
    // Of the client, if it has one: the configuration's otherwise.
    std::optional<std::chrono::system_clock::time_point> deadline;
  };
  using Arrival = ArrivalOf<v1::GenerateRequest>;
  using EmbedArrival = ArrivalOf<v1::EmbedRequest>;

  // A running request in the hands of its edge; outlives it harmlessly.
  class Handle {
   public:
    Handle() : stop_(std::nostopstate) {}
    // The client has left: the request ends soon, with CANCELLED. From any thread, any number of times.
    void Cancel() { stop_.request_stop(); }

   private:
    friend class RequestRunner;
    explicit Handle(std::stop_source stop) : stop_(std::move(stop)) {}

    std::stop_source stop_;
  };
  // Returns at once. The answer, or the error, comes to `sink`, which is kept until its End() has returned.
  Handle Submit(Place place, Arrival arrival, std::shared_ptr<AnswerSink> sink);
  Handle Submit(Place place, EmbedArrival arrival, std::shared_ptr<RowsSink> sink);

  // From now on new requests are refused (UNAVAILABLE); running ones go on.
  void Drain() { draining_ = true; }
  bool draining() const { return draining_; }
  int64_t running() const { return running_; }
  const OwnRefusals& refusals() const { return refusals_; }

 private:
  // A request on its way, of one of two kinds.
  template <typename Request, typename Response, typename Way>
  struct Open;
  using Generation = Open<v1::GenerateRequest, v1::GenerateResponse, Answer>;
  using Embedding = Open<v1::EmbedRequest, v1::EmbedResponse, Delivery<v1::EmbedResponse>>;

  absl::Status TakePlace();
  void Leave();
  absl::Status Refuse(absl::Status status);
  template <typename Opened, typename Request, typename Response>
  Handle Begin(Place place, ArrivalOf<Request> arrival, std::shared_ptr<PieceSink<Response>> sink);
  template <typename Opened>
  Detached Serve(std::unique_ptr<Opened> open);
  // Up to the last piece, which stays in `open`.
  template <typename Opened>
  Task<absl::Status> Run(Opened& open);
  Task<absl::Status> Live(Generation& open);
  Task<absl::Status> Live(Embedding& open);
  // How it ends for its client, once `run` is how its life has ended.
  template <typename Opened>
  Task<absl::Status> Deliver(Opened& open, const absl::Status& run);
  template <typename Opened>
  void Record(const Opened& open, const absl::Status& run);

  const PipelineParts parts_;
  RequestThreads& threads_;
  RequestMetrics metrics_;
  const Pipeline pipeline_;
  const Embedder embedder_;
  OwnRefusals refusals_;
  std::atomic<bool> draining_ = false;
  std::atomic<int64_t> running_ = 0;  // places taken
  std::mutex mutex_;
  std::condition_variable all_over_;
  int64_t open_ = 0;  // submitted and not yet ended
};

}  // namespace headroom::gateway
