// Decoder: the language model of MiniCPM-V 2.6, Qwen2 and Llama over a paged KV cache. One Forward() is one step: any
// mix of prefill chunks and decoding sequences, packed row by row.
//
//   x = embedding(token) or an embedding row of a picture
//   per layer:  q, k, v = RMSNorm(x)·Wqkvᵀ + b;  RoPE on q and k;  k, v → cache;  x += attention(q, cache)·Woᵀ
//               gate, up = RMSNorm(x)·Wᵀ;  x += (silu(gate) · up)·Wdownᵀ
//   logits = RMSNorm(x)·Wheadᵀ, for the rows that are wanted
//
// Residual stream, norms, rotary angles, softmax and logits are f32; products run in the compute type of the plan.
// Results of a sequence do not depend on its batch mates beyond the rounding of sums.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/status.h"
#include "llm-worker/kv/kv_pool.h"
#include "memory/arena.h"
#include "memory/plan.h"
#include "model/checkpoint.h"
#include "model/config.h"
#include "runtime/device.h"
#include "runtime/matrix.h"
#include "runtime/ops/linear.h"

namespace headroom::llm_worker {

// The next `rows` tokens of one sequence.
struct StepSequence {
  int64_t first_row = 0;            // in the step
  int64_t rows = 0;                 // ≥ 1
  int64_t cached = 0;               // tokens in the cache before this step: row i has position cached + i
  std::span<const int32_t> blocks;  // block table, at least ceil((cached + rows) / block_size) blocks
};

// Rows of the step that are a picture's embeddings instead of token embeddings.
struct EmbeddingRows {
  int64_t first_row = 0;
  runtime::ConstMatrix rows;  // [n, hidden] f32 | bf16
};

struct StepBatch {
  std::vector<int32_t> token_ids;       // [T]; where embeddings go, any id of the vocabulary
  std::vector<StepSequence> sequences;  // cover every row exactly once, in order of first_row
  std::vector<EmbeddingRows> embeddings;
  std::vector<BlockCopy> copies = {};  // before anything is written; at most max_num_seqs
  std::vector<int32_t> logit_rows;     // rows whose next-token logits are wanted
};

class Decoder {
 public:
  // Takes weights, KV pool and workspace from the arena as the plan says, and builds every product. `device` and
  // `arena` must outlive the decoder. INVALID_ARGUMENT when the plan has no llm role.
  static absl::StatusOr<std::unique_ptr<Decoder>> Create(runtime::Device& device, const model::ModelConfig& config,
                                                         const memory::Plan& plan, memory::Arena& arena);

  // Streams the weights in. `progress` counts over both parts; may be empty.
  absl::Status Load(const model::Checkpoint& checkpoint, const memory::LoadProgress& progress = {});

  // One step; takes the device's lane itself, so the caller must not hold it. Returns the logits of batch.logit_rows in
  // their order, f32 [rows, vocab], valid until the next call. INVALID_ARGUMENT when the batch does not fit the limits
  // of the plan or contradicts itself (then nothing was written).
  absl::StatusOr<runtime::ConstMatrix> Forward(const StepBatch& batch);

  // Logits of other rows of the latest step, at most max_logit_rows() at a time. Replaces what Forward returned.
  absl::StatusOr<runtime::ConstMatrix> Logits(std::span<const int32_t> rows);

  int64_t max_tokens() const { return layout_.limits.tokens; }
  int64_t max_logit_rows() const { return layout_.limits.sequences; }
  int64_t kv_blocks() const { return kv_blocks_; }
  int64_t block_size() const { return kv_.block_size(); }
  int64_t vocab_size() const { return config_.vocab_size; }

 private:
  struct Layer {
    const float* input_norm;
    runtime::ConstMatrix qkv;
    const float* qkv_bias;  // or null
    runtime::ConstMatrix o;
    const float* o_bias;  // or null
    const float* post_norm;
    runtime::ConstMatrix gate_up;
    runtime::ConstMatrix down;
  };
  struct Step;

  Decoder(runtime::Device& device, const model::ModelConfig& config, const memory::Plan& plan);
  absl::Status TakeMemory(memory::Arena& arena, const memory::Plan& plan);
  void NameWeights();
  absl::Status CheckBatch(const StepBatch& batch) const;
  absl::Status CheckSequences(std::span<const StepSequence> sequences, int64_t rows) const;
  absl::Status CheckCopies(std::span<const BlockCopy> copies) const;
  absl::Status CheckLogitRows(std::span<const int32_t> logit_rows, int64_t rows) const;
  Step PlaceStep(const StepBatch& batch);
  absl::Status Embed(const StepBatch& batch, const Step& step);
  absl::Status Attend(const Layer& layer, int64_t index, const Step& step);
  absl::Status FeedForward(const Layer& layer, const Step& step);
  absl::Status Head(std::span<const int32_t> rows, runtime::Matrix logits);
  runtime::Matrix View(const memory::StepBuffer& buffer, int64_t rows) const;

  runtime::Device& device_;
  const model::DecoderConfig config_;
  const memory::WeightLayout weights_;
  const memory::LlmStepLayout layout_;
  const memory::KvLayout kv_;
  const int64_t kv_blocks_;
  std::span<std::byte> llm_memory_, head_memory_, kv_pool_, workspace_;
  std::vector<Layer> layers_;
  runtime::ConstMatrix embedding_, head_;
  const float* final_norm_ = nullptr;
  std::span<const float> inv_freq_;
  int64_t step_rows_ = 0;  // of the latest step
};

// What the decoder's products need in a step of at most so many tokens and rows of logits: the largest scratch, and
// what oneDNN keeps for all of them. Builds nothing.
absl::StatusOr<runtime::LinearNeeds> DecoderLinearNeeds(runtime::Device& device, const model::ModelConfig& config,
                                                        DType compute, int64_t tokens, int64_t logit_rows);

// Fills in what MakePlan must know about the decoder (needs.llm_…, needs.rows). `device` must outlive the needs.
void AddDecoderNeeds(runtime::Device& device, const model::ModelConfig& config, DType compute,
                     memory::KernelNeeds& needs);

}  // namespace headroom::llm_worker
