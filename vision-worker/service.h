// The Vision service: compressed images in, references to embeddings out, and the embeddings to whoever holds a
// reference.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "admission/worker_gate.h"
#include "common/clock.h"
#include "common/dtype.h"
#include "common/metrics.h"
#include "common/thread_pool.h"
#include "headroom/v1/vision.grpc.pb.h"
#include "vision-worker/embedding_store.h"
#include "vision-worker/image_intake.h"
#include "vision-worker/step_batcher.h"

namespace headroom::vision_worker {

struct VisionParts {
  admission::WorkerGate& gate;
  const ImageIntake& intake;
  EmbeddingStore& store;
  StepBatcher& batcher;
  Clock& clock;
};

struct VisionOptions {
  std::string model;       // fingerprint
  std::string model_name;  // of the labels of metrics
  int64_t columns = 0;     // of a row of embeddings
  DType dtype = DType::kF32;
  int64_t images_max = 0;  // of one request
  int decoders = 1;
  int64_t images_waiting_max = 0;  // for a decoder
  int64_t fetches_max = 64;        // at once
};

class VisionService final : public v1::Vision::CallbackService {
 public:
  VisionService(const VisionParts& parts, const VisionOptions& options, Metrics& metrics);
  // Every call has ended (the server is shut down), the decoders and the batcher have stopped.
  ~VisionService() override;

  // Where the embeddings can be fetched; before the first call.
  void SetEndpoint(std::string endpoint) { endpoint_ = std::move(endpoint); }

  // Waits for the images that are being decoded; their calls have ended. Before the batcher stops.
  void StopDecoders() { decoders_.Shutdown(); }

  grpc::ServerBidiReactor<v1::EncodeRequest, v1::EncodeResponse>* Encode(grpc::CallbackServerContext* context) override;
  grpc::ServerWriteReactor<v1::FetchResponse>* Fetch(grpc::CallbackServerContext* context,
                                                     const v1::FetchRequest* request) override;

 private:
  friend class EncodeCall;
  friend class FetchCall;

  const VisionParts parts_;
  const VisionOptions options_;
  std::string endpoint_;
  Counter images_, cache_hits_, refused_, fetched_pieces_;
  Histogram decode_seconds_, encode_seconds_;
  std::atomic<int64_t> fetches_ = 0;
  ThreadPool decoders_;
};

}  // namespace headroom::vision_worker
