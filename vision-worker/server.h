// Wires and owns the vision-worker: device and sandbox in, a serving object out. `headroom up` and the binary
// `vision-worker` build the same object.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/config.h"
#include "common/metrics.h"
#include "common/rpc/channel_directory.h"
#include "common/service_main.h"
#include "vision-worker/embedding_store.h"
#include "vision-worker/image/sandbox.h"
#include "vision-worker/image_intake.h"
#include "vision-worker/piece_encoder.h"
#include "vision-worker/service.h"
#include "vision-worker/step_batcher.h"
#include "worker/weight_load.h"
#include "worker/worker_device.h"
#include "worker/worker_endpoint.h"

namespace headroom::vision_worker {

// The decoder processes of a configuration. Start them first thing in main, before gRPC and the device.
SandboxConfig SandboxConfigFrom(const ClusterConfig& config);
// Host memory that the image decoders take at most.
int64_t DecoderBytesMax(const ClusterConfig& config);

class VisionServer : public RunningService {
 public:
  // Takes its memory and returns when it serves, LOADING; reads the weights behind that and is READY then. Weights that
  // cannot be read end the process. `device` was made with the vision role and AddEncoderNeeds; what is passed by
  // reference must outlive the result.
  static absl::StatusOr<std::unique_ptr<VisionServer>> Start(const ClusterConfig& config, worker::WorkerDevice& device,
                                                             ImageSandbox& sandbox, rpc::ChannelDirectory& channels,
                                                             Metrics& metrics, ProcessEnd& process);
  ~VisionServer() override;

  // Blocks until READY, or until the load has failed or been stopped.
  absl::Status WaitLoaded() { return load_.WaitLoaded(); }
  // Drains: no new grants, open streams go on until their clients end them or the deadline passes. Idempotent.
  void Stop(Duration deadline) override;

  const std::string& endpoint() const { return endpoint_.endpoint(); }
  const worker::WorkerEndpoint& worker() const { return endpoint_; }

 private:
  VisionServer(const ClusterConfig& config, worker::WorkerDevice& device, ImageSandbox& sandbox,
               std::unique_ptr<PieceEncoder> encoder, memory::DeviceSpan store, rpc::ChannelDirectory& channels,
               Metrics& metrics, ProcessEnd& process);
  absl::StatusOr<std::vector<bool>> EncodePieces(std::span<const StepBatcher::Piece> pieces);
  void CountStep(const StepReport& step);
  std::vector<MetricSample> Collect() const;

  worker::WorkerDevice& device_;
  const ProcessEnd& process_;
  const std::string model_name_;
  ImageSandbox& sandbox_;
  const PixelNorm norm_;
  const std::unique_ptr<PieceEncoder> encoder_;
  std::vector<float> patch_matrix_;  // [max_patches_per_step, 3 · patch_size²], of the step under way
  Counter steps_, pieces_, patches_;
  Histogram step_seconds_, piece_seconds_, step_pieces_, step_patches_;
  worker::WorkerEndpoint endpoint_;
  ImageIntake intake_;
  EmbeddingStore store_;
  StepBatcher batcher_;
  VisionService service_;
  std::shared_ptr<void> metrics_token_;
  worker::WeightLoad load_;
  bool stopped_ = false;
};

}  // namespace headroom::vision_worker
