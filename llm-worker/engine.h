// Engine: continuous batching. One thread owns every sequence and runs steps:
//
//   wait for work ▸ take what was submitted, drop cancelled ▸ wait for masks ▸ plan the step (pure) ▸ one forward pass,
//   which samples ▸ publish ▸ free finished
//
// Several choices of one request are one sequence until its prompt is computed, whose blocks they then share. The first
// token of each is drawn from the same row of logits.
//
// What may follow a token of a choice that keeps to a grammar is worked out by threads beside this one, from the moment
// that the token is published. Steps wait for them shortly; a choice whose mask takes longer sits steps out until it is
// there, so that no grammar holds up the others.
//
// Prefill is chunked, the KV cache is paged, and blocks are taken as a sequence grows, inside what its leg reserved:
// nothing is ever preempted. An error of one sequence (a logit that is not a number) ends that sequence only; a forward
// pass that fails ends those in it.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "common/clock.h"
#include "common/status.h"
#include "llm-worker/constrained_text.h"
#include "llm-worker/kv/kv_pool.h"
#include "llm-worker/sample_reader.h"
#include "llm-worker/sequence.h"
#include "llm-worker/step_batch.h"
#include "llm-worker/step_planner.h"

namespace headroom::llm_worker {

struct EngineOptions {
  StepLimits limits;
  int64_t waiting_max = 0;  // submitted and not running yet
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  DType embedding_dtype = DType::kF32;  // of SequenceRequest::runs
  int mask_threads = 1;
  Duration mask_wait_max = std::chrono::milliseconds(1);  // a step waits so long at most for masks that are late
};

// What one step did.
struct EngineStep {
  double seconds = 0;  // forward pass and sampling
  int64_t sequences = 0;
  int64_t tokens = 0;         // rows of the step
  int64_t prompt_tokens = 0;  // rows of prompts among them
  int64_t sampled = 0;        // tokens of answers
};

struct EngineStats {
  int64_t running = 0;
  int64_t waiting = 0;
  int64_t blocks_used = 0;
  int64_t blocks = 0;
};

class Engine {
 public:
  // One forward pass, called on the engine's thread only: Decoder::Forward.
  using ForwardPass = std::function<absl::StatusOr<StepTokens>(const StepBatch&)>;

  // `on_step` runs on the engine's thread after each step; may be empty. `pool` must outlive the engine.
  Engine(const EngineOptions& options, KvPool& pool, ForwardPass forward, Clock& clock,
         std::function<void(const EngineStep&)> on_step);
  // Stops.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  void Start();

  // Hands a request over, all its choices; CheckSequenceRequest has passed and the data of its runs is there. The
  // stream gets its events and, when blocks and leg are back, one last event. Any thread. RESOURCE_EXHAUSTED when too
  // many wait; UNAVAILABLE after Stop.
  absl::Status Submit(SequenceRequest request, std::shared_ptr<TokenStream> stream, KvBlocks blocks);

  // Ends every sequence with UNAVAILABLE and joins. Idempotent.
  void Stop();

  EngineStats Stats() const;

 private:
  using SequencePtr = std::unique_ptr<Sequence>;

  void Run();
  bool WaitForWork();
  void DropCancelled();
  void DropCancelled(std::deque<SequencePtr>& sequences);
  // Those whose text is whole, and those whose grammar has failed.
  void DropWhole();
  void DropWhole(std::deque<SequencePtr>& sequences);
  StepPlan Plan() const;
  // The sequences of the step, in the order of their rows; those that could not get their blocks are ended.
  struct Row {
    Sequence* sequence;
    int64_t tokens;
    bool samples;
  };
  struct AdmittedStep {
    std::vector<Row> rows;
    std::vector<BlockCopy> copies;
  };
  AdmittedStep Admit(const StepPlan& plan);
  StepBatch BuildBatch(const AdmittedStep& step) const;
  void AddEmbeddings(const Sequence& sequence, int64_t first_row, int64_t tokens, StepBatch& batch) const;
  // What is asked of the logits of the row's tokens. Take() reads the answers in the same order.
  void AddSamples(const Row& row, int64_t first_row, StepBatch& batch) const;
  void RunStep(const AdmittedStep& step);
  void Take(const Row& row, SampleReader& samples);
  void TakePromptLogprobs(const Row& row, SampleReader& samples);
  void Publish(Sequence& sequence, Sampled sampled);
  // Frees the sequence, then tells its stream.
  void End(Sequence* sequence, AnswerEvent last);
  void EndAll();

  const EngineOptions options_;
  const ForwardPass forward_;
  Clock& clock_;
  const std::function<void(const EngineStep&)> on_step_;
  KvPool& pool_;
  MaskThreads masks_;

  // The engine thread's own.
  std::deque<SequencePtr> running_, waiting_;
  uint64_t step_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::deque<SequencePtr> submitted_;
  bool stopping_ = false;
  EngineStats stats_;
  std::thread thread_;
};

}  // namespace headroom::llm_worker
