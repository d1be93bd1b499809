// The Llm service: checks a request again, activates its leg, pulls its embeddings, hands it to the engine and streams
// the answer.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "admission/worker_gate.h"
#include "common/clock.h"
#include "common/metrics.h"
#include "common/rpc/channel_directory.h"
#include "common/thread_pool.h"
#include "headroom/v1/llm.grpc.pb.h"
#include "llm-worker/embedding_client.h"
#include "llm-worker/engine.h"
#include "llm-worker/grammar_store.h"

namespace headroom::llm_worker {

class GenerateCall;

class LlmService final : public v1::Llm::CallbackService {
 public:
  struct Parts {
    admission::WorkerGate& gate;
    Engine& engine;
    KvPool& pool;
    GrammarStore& grammars;
    rpc::ChannelDirectory& channels;
    Clock& clock;
  };
  struct Options {
    ModelLimits limits;
    int64_t block_size = 0;
    EmbeddingShape embedding;  // columns 0: the model has no tower
    std::string model;         // fingerprint
    std::string model_name;    // of the labels of metrics
    int fetch_threads = 1;
    int64_t fetches_waiting_max = 0;
    int compile_threads = 1;  // of grammars
    Duration unread_max = std::chrono::seconds(60);
  };
  LlmService(Parts parts, Options options, Metrics& metrics);
  // Every call has ended (the server is shut down).
  ~LlmService() override;

  grpc::ServerWriteReactor<v1::TokenEvent>* Generate(grpc::CallbackServerContext* context,
                                                     const v1::LlmGenerateRequest* request) override;

  // Cancels calls whose reader has taken no event for longer than unread_max. Called now and then by the server.
  void CancelUnread();

 private:
  friend class GenerateCall;

  const Parts parts_;
  const Options options_;
  void CountOutcome(grpc::StatusCode code);

  Counter answered_, cancelled_, refused_, failed_;
  Counter fetches_, fetch_failures_, unread_cancels_;
  ThreadPool fetchers_, compilers_;
  std::mutex mutex_;
  std::map<GenerateCall*, std::weak_ptr<GenerateCall>> calls_;
};

}  // namespace headroom::llm_worker
