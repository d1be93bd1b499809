// Wires and owns the llm-worker: device in, a serving object out. `headroom up` and the binary `llm-worker` build the
// same object.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "common/config.h"
#include "common/metrics.h"
#include "common/rpc/channel_directory.h"
#include "common/service_main.h"
#include "llm-worker/decoder.h"
#include "llm-worker/engine.h"
#include "llm-worker/service.h"
#include "worker/weight_load.h"
#include "worker/worker_device.h"
#include "worker/worker_endpoint.h"

namespace headroom::llm_worker {

class LlmServer : public RunningService {
 public:
  // Takes its memory and returns when it serves, LOADING; reads the weights behind that and is READY then. Weights that
  // cannot be read end the process. `device` was made with the llm role and AddDecoderNeeds; what is passed by
  // reference must outlive the result.
  static absl::StatusOr<std::unique_ptr<LlmServer>> Start(const ClusterConfig& config, worker::WorkerDevice& device,
                                                          rpc::ChannelDirectory& channels, Metrics& metrics,
                                                          ProcessEnd& process);
  ~LlmServer() override;

  // Blocks until READY, or until the load has failed or been stopped.
  absl::Status WaitLoaded() { return load_.WaitLoaded(); }
  // Drains: no new grants, running answers finish until the deadline, the rest ends with UNAVAILABLE. Idempotent.
  void Stop(Duration deadline) override;

  const worker::WorkerEndpoint& worker() const { return endpoint_; }

 private:
  LlmServer(const ClusterConfig& config, worker::WorkerDevice& device, std::unique_ptr<Decoder> decoder,
            rpc::ChannelDirectory& channels, Metrics& metrics, ProcessEnd& process);
  absl::Status Load(const memory::LoadProgress& tell);
  absl::Status WarmUp();
  void BecomeReady();
  void WatchReaders();
  void CountStep(const EngineStep& step);

  const LlmWorkerSection config_;
  const std::string model_directory_;
  worker::WorkerDevice& device_;
  const ProcessEnd& process_;
  const std::unique_ptr<Decoder> decoder_;
  Counter prefill_steps_, decode_steps_, mixed_steps_, prompt_tokens_, answer_tokens_;
  Histogram step_seconds_, step_tokens_, step_prompt_tokens_, step_sequences_;
  worker::WorkerEndpoint endpoint_;
  KvPool kv_pool_;
  GrammarStore grammars_;
  Engine engine_;
  LlmService service_;
  std::shared_ptr<void> engine_metrics_, grammar_metrics_;
  std::mutex mutex_;
  std::condition_variable stopping_changed_;
  bool stopping_ = false;
  bool stopped_ = false;
  std::thread reader_watch_;
  worker::WeightLoad load_;
};

}  // namespace headroom::llm_worker
