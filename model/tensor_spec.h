// The weights of a model, tensor by tensor: where each comes from in the checkpoint, how it lies in memory, and how
// ranks share it. Plan, weight layout, loader and engine read this one list.
//
// In memory q, k and v (gate and up) lie stacked in one matrix, so that one product computes them; vectors (norms,
// biases) are in fp32. Names in memory are the same for all families:
//
//   llm.embed_tokens.weight            [V, E]           llm.layers.N.input_norm.weight            [E]
//   llm.layers.N.qkv.weight            [(H+2KV)·hd, E]  llm.layers.N.qkv.bias  (if qkv_bias)       [(H+2KV)·hd]
//   llm.layers.N.q_norm|k_norm.weight  [hd]  (if head_norm)
//   llm.layers.N.o.weight              [E, H·hd]        llm.layers.N.o.bias    (if output_bias)    [E]
//   llm.layers.N.post_norm.weight      [E]              llm.layers.N.gate_up.weight  [2I, E] (gate first)
//   llm.layers.N.down.weight           [E, I]           llm.norm.weight                            [E]
//   llm.layers.N.attention_out_norm|mlp_out_norm.weight [E]  (if sandwich_norms)
//   llm.head.weight                    [V, E]  absent when tied: the head is llm.embed_tokens.weight
//   llm.rope.inv_freq                  [Rope::Dim/2]   fp32, filled in by the loader (not in the file)
//   latent attention, in place of qkv: llm.layers.N.q_a|q_a_norm|q_b|kv_a|kv_a_norm|kv_b.weight
//   experts: llm.layers.N.router.weight [X, E], .router.correction_bias [X], .experts.gate_up.weight X × [2M, E],
//            .experts.down.weight X × [E, M], .shared_expert.gate_up|down.weight
//
// Those of an encoder stand in the file of its family.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/checkpoint.h"
#include "model/packing.h"
#include "model/weight_format.h"

namespace headroom::model {

enum class WeightPart { kVision, kResampler, kLlm, kHead };
inline constexpr int kWeightParts = 4;
const char* WeightPartName(WeightPart part);

// Which part of a matrix one of N tensor-parallel ranks holds.
enum class TensorSplit : uint8_t {
  kWhole,    // every rank holds all of it
  kRows,     // output features / N (of which kv_rows belong to KV heads: they stop splitting at one head a rank)
  kCols,     // input features / N
  kExperts,  // count / N
};

// One tensor of the checkpoint. A `*` in the name stands for the number of an expert.
struct TensorSource {
  std::string name;
  std::vector<int64_t> shape;
};

// One matrix (or vector: rows = 1) in memory, or `count` of them one behind the other: one an expert. Its sources lie
// below one another in this order, all those of an expert together.
struct TensorSpec {
  std::string name;
  WeightPart part = WeightPart::kLlm;
  int64_t count = 1;
  int64_t rows = 0, cols = 0;
  WeightFormat format = {};
  Packing packing = Packing::kPlain;  // of every source
  bool linear = false;                // a matrix product of the decoder's layers: what weight quantization applies to
  TensorSplit split = TensorSplit::kWhole;
  int64_t kv_rows = 0;                     // with kRows
  std::vector<TensorSource> sources = {};  // empty: computed at load, no parameter

  bool computed() const { return sources.empty(); }
};

// Elements of what the checkpoint holds, in total or of one part; scales of quantized formats are not parameters.
int64_t ParameterCount(const std::vector<TensorSpec>& tensors);
int64_t ParameterCount(const std::vector<TensorSpec>& tensors, WeightPart part);

// The sources of all tensors, experts one by one.
std::vector<TensorSource> SourcesOf(const std::vector<TensorSpec>& tensors);

// What the checkpoint must hold for one of them (its experts' sources one by one).
std::vector<StoredPart> StoredPartsOf(const TensorSpec& tensor);

// Every part of every source is there, with its shape and a type that is fit for it. INVALID_ARGUMENT names the tensor,
// what was found and what was wanted. The result is the number of tensors in the checkpoint that this model does not
// use (worth a log line, no error).
absl::StatusOr<int64_t> CheckTensors(const std::vector<TensorSpec>& tensors, const Checkpoint& checkpoint);

}  // namespace headroom::model
