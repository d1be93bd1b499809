// One request inside the engine: its tokens, its KV blocks, its leg and the stream that its answer goes to.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/status.h"
#include "llm-worker/kv/kv_pool.h"
#include "llm-worker/step_planner.h"
#include "llm-worker/token_stream.h"
#include "runtime/ops/sample.h"

namespace headroom::llm_worker {

// Prompt positions [begin, begin + rows) take these embedding rows instead of their token's.
struct EmbeddingRun {
  int64_t begin = 0;
  int64_t rows = 0;
  std::string data;  // row-major [rows, hidden] in `EngineOptions::embedding_dtype`
};

// max_tokens counts the whole answer, continued_ids included, so that a moved request keeps its numbers.
struct SequenceRequest {
  std::vector<int32_t> prompt_ids;
  std::vector<int32_t> continued_ids;  // fewer than max_tokens
  std::vector<EmbeddingRun> runs;      // ascending, inside the prompt, no overlap
  runtime::Sampling sampling;
  std::vector<int32_t> stop_ids;
  int64_t max_tokens = 0;
};

// Checks everything above against the model: ids inside the vocabulary, runs, counts, sampling, prompt + max_tokens <=
// max_model_len. INVALID_ARGUMENT with value and limit. The data of the runs is not looked at: it may still be on its
// way.
struct ModelLimits {
  int64_t vocab_size = 0;
  int64_t max_model_len = 0;
};
absl::Status CheckSequenceRequest(const SequenceRequest& request, const ModelLimits& limits);

inline constexpr size_t kStopIdsMax = 64;

// Only the engine thread touches it. Dropping it gives back its blocks and its leg.
class Sequence {
 public:
  // `vocab_size`: ids of the request are below it.
  Sequence(SequenceRequest request, std::shared_ptr<TokenStream> stream, KvBlocks blocks, int64_t vocab_size);

  SequenceView View() const;
  const SequenceRequest& request() const { return request_; }
  TokenStream& stream() { return *stream_; }
  std::shared_ptr<TokenStream> shared_stream() const { return stream_; }
  std::span<const int32_t> blocks() const { return blocks_.blocks(); }
  // Room of its own for the next `tokens` tokens after computed(); as KvBlocks::MakeWritable.
  absl::Status MakeRoom(int64_t tokens, std::vector<BlockCopy>& copies);

  // Prompt, continued and sampled ids.
  std::span<const int32_t> tokens() const { return tokens_; }
  int64_t computed() const { return computed_; }
  // A bit for each id that the repetition penalty applies to: all but those of image positions. Empty without one.
  std::span<const uint32_t> seen() const { return seen_; }
  int64_t answer_tokens() const { return static_cast<int64_t>(tokens_.size() - request_.prompt_ids.size()); }

  void MarkComputed(int64_t tokens, uint64_t step);
  // Adds a sampled id; says whether and why the answer ends with it.
  Finish Append(int32_t token);
  AnswerUsage Usage() const;

 private:
  void MarkSeen(std::span<const int32_t> ids);

  SequenceRequest request_;
  std::shared_ptr<TokenStream> stream_;
  KvBlocks blocks_;
  std::vector<int32_t> tokens_;
  std::vector<uint32_t> seen_;
  int64_t image_tokens_ = 0;
  int64_t computed_ = 0;
  uint64_t last_step_ = 0;
};

}  // namespace headroom::llm_worker
