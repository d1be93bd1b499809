// What a request asks of the other services, without a word of how the words travel: gateway/grpc_peers.h does it over
// gRPC. Every call has a deadline, ends early when the request's stop token fires, and holds no thread while it waits.
// Errors are those of the service (common/error_details.h has their details).
#pragma once

#include <chrono>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "common/async/task.h"
#include "common/status.h"
#include "headroom/v1/llm.pb.h"
#include "headroom/v1/scheduler.pb.h"
#include "headroom/v1/vision.pb.h"

namespace headroom::gateway {

// Shared by all calls of one request.
struct CallScope {
  std::chrono::system_clock::time_point deadline;
  std::stop_token stop;
};

// One Encode stream of a vision-worker. It stays open, and its embeddings stay pinned, until Close() or End(). One call
// at a time; End() must have been awaited before this object dies.
class VisionEncoding {
 public:
  virtual ~VisionEncoding() = default;

  // Sends the bytes of every image in order and waits for all embeddings. INTERNAL for a worker that made other pieces
  // or rows of an image than its price says.
  virtual Task<absl::Status> Encode(const std::vector<const std::string*>& images) = 0;
  // One entry per image, after Encode().
  virtual const std::vector<v1::ImageEncoded>& encoded() const = 0;
  // Lets the worker settle the leg; returns at once. Idempotent.
  virtual void Close() = 0;
  // Waits for the end of the stream; what was not closed is cancelled. How it ended.
  virtual Task<absl::Status> End() = 0;
  // After End(): whether the worker had begun with the request.
  virtual bool accepted() const = 0;
};

// What a worker sends in answer to one message. One call at a time; Finish() must have been awaited before this object
// dies.
template <typename Message>
class PeerStream {
 public:
  virtual ~PeerStream() = default;

  // False at the end of the stream.
  virtual Task<bool> Read(Message* message) = 0;
  // The rest is of no interest.
  virtual void Cancel() = 0;
  // Waits for the end of the stream: how it ended.
  virtual Task<absl::Status> Finish() = 0;
  // After Finish(): whether the worker had begun with the request.
  virtual bool accepted() const = 0;
};
// Generate of an llm-worker.
using LlmGeneration = PeerStream<v1::TokenEvent>;

// Thread-safe. What is given by reference must outlive the task.
class Peers {
 public:
  virtual ~Peers() = default;

  // Its deadline is a little after the request's, which wait_ms_max keeps: the scheduler's answer at the last moment
  // must not be lost on its way.
  virtual Task<absl::StatusOr<v1::ReserveResponse>> Reserve(const v1::ReserveRequest& request,
                                                            const CallScope& scope) = 0;
  // Has a short deadline of its own: a request that was cancelled gives back its room, too.
  virtual Task<absl::Status> Void(const v1::VoidRequest& request) = 0;
  // Open a stream, once connected.
  virtual Task<absl::StatusOr<std::unique_ptr<VisionEncoding>>> OpenEncoding(const std::string& endpoint,
                                                                             const v1::EncodeStart& start,
                                                                             const CallScope& scope) = 0;
  virtual Task<absl::StatusOr<std::unique_ptr<LlmGeneration>>> OpenGeneration(const std::string& endpoint,
                                                                              const v1::LlmGenerateRequest& request,
                                                                              const CallScope& scope) = 0;
  // Embeddings that an encoding keeps: `request` asks for rows of one piece that one message holds.
  virtual Task<absl::StatusOr<v1::FetchResponse>> FetchRows(const std::string& endpoint,
                                                            const v1::FetchRequest& request,
                                                            const CallScope& scope) = 0;
};

}  // namespace headroom::gateway
