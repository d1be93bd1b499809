// Decoder: the language model over a paged KV cache, as model::DecoderSpec says. One Forward() is one step: any
// mix of prefill chunks and decoding sequences, packed row by row.
//
//   x = embedding(token) or an embedding row of a picture
//   per layer:  q, k, v = RMSNorm(x)·Wqkvᵀ + b;  RoPE on q and k;  k, v → cache;  x += attention(q, cache)·Woᵀ
//               gate, up = RMSNorm(x)·Wᵀ;  x += (silu(gate) · up)·Wdownᵀ
//   where the model has norms behind both, a term passes one before it is added
//   logits = RMSNorm(x)·Wheadᵀ, and from them the next token, for the rows that are wanted
//
// Up to its logits a step in which every sequence decodes one token depends on nothing but its number of rows: on a
// device that can keep operations, such a step is padded to few sizes, recorded once for each, and launched as one.
// Padded rows belong to no sequence. Sampling follows it: rules of rows change what it is given.
//
// Residual stream, norms, rotary angles, softmax and logits are f32; products run in the compute type of the plan.
// Results of a sequence do not depend on its batch mates beyond the rounding of sums.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/status.h"
#include "llm-worker/step_batch.h"
#include "llm-worker/step_inputs.h"
#include "memory/arena.h"
#include "memory/plan.h"
#include "model/checkpoint.h"
#include "model/spec.h"
#include "runtime/device.h"
#include "runtime/kernel_sizes.h"
#include "runtime/matrix.h"
#include "runtime/ops/linear.h"
#include "runtime/step.h"

namespace headroom::llm_worker {

class Decoder {
  using FloatArray = runtime::DeviceArray<const float>;

 public:
  // Takes weights, KV pool and workspace from the arena as the plan says, and builds every product. `device` and
  // `arena` must outlive the decoder. INVALID_ARGUMENT when the plan has no llm role.
  static absl::StatusOr<std::unique_ptr<Decoder>> Create(runtime::Device& device, const model::ModelSpec& config,
                                                         const memory::Plan& plan, memory::Arena& arena);

  // Streams the weights in. `progress` counts over both parts; may be empty.
  absl::Status Load(const model::Checkpoint& checkpoint, const memory::LoadProgress& progress = {});

  // The ids that may be drawn, SeenWords(vocab_size()) words of bits; all of them where nobody has said. Takes the
  // lane.
  absl::Status SetVocabulary(std::span<const uint32_t> ids);

  // Runs every product once at every number of rows that it will be asked for, where a device loads what it needs for
  // them late (runtime::Device::LoadsLate). After Load(), before the first Forward().
  absl::Status WarmUp();

  // Where the plan has room for it: keeps a step that decodes, up to its logits, for every number of rows of such a
  // step, so that it is launched as one from now on. After WarmUp().
  absl::Status RecordSteps();
  // Of the recorded step with the most rows; 0: none is recorded.
  int64_t recorded_launches() const;

  // One step; takes the device's lane itself, so the caller must not hold it. INVALID_ARGUMENT when the batch does not
  // fit the limits of the plan or contradicts itself (then nothing was written).
  absl::StatusOr<StepTokens> Forward(const StepBatch& batch);

  // Logits of rows of the latest step, f32 [rows, vocab], at most max_logit_rows() at a time. For tools: a copy in host
  // memory that no plan knows.
  absl::StatusOr<std::vector<float>> Logits(std::span<const int32_t> rows);

  int64_t max_tokens() const { return layout_.limits.tokens; }
  int64_t max_logit_rows() const { return layout_.limits.sequences; }
  int64_t kv_blocks() const { return kv_blocks_; }
  int64_t block_size() const { return kv_.block_size(); }
  int64_t vocab_size() const { return config_.vocab_size; }

 private:
  struct Layer {
    FloatArray input_norm;
    runtime::ConstMatrix qkv;
    FloatArray qkv_bias;        // or null
    FloatArray q_norm, k_norm;  // or null
    runtime::ConstMatrix o;
    FloatArray o_bias;  // or null
    FloatArray post_norm;
    runtime::ConstMatrix gate_up;
    runtime::ConstMatrix down;
    FloatArray attention_out_norm, mlp_out_norm;  // or null
  };

  Decoder(runtime::Device& device, const model::ModelSpec& config, const memory::Plan& plan);
  absl::Status TakeMemory(memory::Arena& arena, const memory::Plan& plan);
  void NameWeights();
  int64_t DecodeRows(const StepBatch& batch) const;
  void Compute(runtime::Step& step, const StepBatch& batch);
  void Decode(runtime::Step& step, int64_t rows);
  void Gather(runtime::Step& step, int64_t rows);
  void Embed(runtime::Step& step, const StepBatch& batch);
  void Layers(runtime::Step& step, int64_t rows, int64_t sequences, int64_t fewest);
  void Attend(runtime::Step& step, const Layer& layer, int64_t index, int64_t rows, int64_t sequences, int64_t fewest);
  void NormalizeHeads(runtime::Step& step, const Layer& layer, const runtime::Matrix& q, const runtime::Matrix& k);
  void AddProduct(runtime::Step& step, const runtime::Matrix& in, const runtime::ConstMatrix& weight,
                  const FloatArray& bias, const FloatArray& norm);
  void FeedForward(runtime::Step& step, const Layer& layer, int64_t rows);
  runtime::Matrix Head(runtime::Step& step, std::span<const int32_t> rows, int64_t step_rows);
  void UploadRules(runtime::Step& step, std::span<const RowSample> samples);
  void Sample(runtime::Step& step, const StepBatch& batch, bool has_logits, StepTokens& sampled);
  runtime::Matrix View(const memory::StepBuffer& buffer, int64_t rows) const;
  runtime::KvView Cache(int64_t layer) const;
  runtime::DeviceSpan LinearScratch() const;

  runtime::Device& device_;
  const model::DecoderSpec config_;
  const memory::WeightLayout weights_;
  const memory::LlmStepLayout layout_;
  const memory::KvLayout kv_;
  const int64_t kv_blocks_;
  memory::DeviceMemory* memory_ = nullptr;  // of the arena
  runtime::DeviceSpan llm_memory_, head_memory_, kv_pool_, workspace_;
  StepInputs inputs_;
  const bool pads_;     // the device computes decode steps of a few sizes alone, whether it keeps them or not
  const bool records_;  // and keeps them
  std::map<int64_t, std::unique_ptr<runtime::Recording>> recordings_;  // by rows
  std::vector<Layer> layers_;
  runtime::ConstMatrix embedding_, head_;
  FloatArray final_norm_, inv_freq_;
  std::vector<int32_t> first_rows_;   // 0, 1, 2, …: as many as a step can decode
  std::vector<int32_t> sample_rows_;  // of the latest step: its memory is taken at start
  int64_t step_rows_ = 0;             // of the latest step
};

// What the decoder's products need in a step of at most so many tokens and rows of logits: the largest scratch, and
// what libraries keep for all of them. Builds nothing.
absl::StatusOr<runtime::LinearNeeds> DecoderLinearNeeds(runtime::KernelSizes& sizes, const model::ModelSpec& config,
                                                        DType compute, int64_t tokens, int64_t logit_rows);

// Fills in what MakePlan must know about the decoder (needs.llm_…, needs.rows). `sizes` must outlive the needs.
void AddDecoderNeeds(runtime::KernelSizes& sizes, const model::ModelSpec& config, DType compute,
                     memory::KernelNeeds& needs);

}  // namespace headroom::llm_worker
