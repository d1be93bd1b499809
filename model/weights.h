// Which tensors a model needs from its checkpoint, and how they are held in memory.
//
// In memory q, k and v (gate and up) lie stacked in one matrix, so that one product computes them; matrices are in the
// compute type, vectors (norms, biases) in fp32. Names in memory are the same for all architectures:
//
//   llm.embed_tokens.weight            [V, E]           llm.layers.N.input_norm.weight            [E]
//   llm.layers.N.qkv.weight            [(H+2KV)·hd, E]  llm.layers.N.qkv.bias (if qkv_bias)        [(H+2KV)·hd]
//   llm.layers.N.o.weight              [E, H·hd]        llm.layers.N.o.bias   (if output_bias)     [E]
//   llm.layers.N.post_norm.weight      [E]              llm.layers.N.gate_up.weight  [2I, E] (gate first)
//   llm.layers.N.down.weight           [E, I]           llm.norm.weight                            [E]
//   llm.head.weight                    [V, E]  absent when tied: the head is llm.embed_tokens.weight
//   llm.rope.inv_freq                  [hd/2]  fp32, filled in by the loader (not in the file)
//
//   vision.patch_embedding.weight      [D, 3·P·P], .bias [D]     vision.position_embedding.weight  [side², D]
//   vision.layers.N.norm1.weight/.bias [D]                       vision.layers.N.norm2.weight/.bias [D]
//   vision.layers.N.qkv.weight [3D, D], .bias                    vision.layers.N.out.weight [D, D], .bias
//   vision.layers.N.fc1.weight [I, D], .bias                     vision.layers.N.fc2.weight [D, I], .bias
//   vision.post_norm.weight/.bias [D]
//
//   resampler.query [64, E] fp32        resampler.kv_proj.weight [E, D]
//   resampler.in_proj.weight [3E, E], .bias [3E] (q, k, v)        resampler.out_proj.weight [E, E], .bias
//   resampler.norm_q|norm_kv|norm_post.weight/.bias [E]           resampler.proj [E, E] as stored: input index first
//   resampler.q [64, E] fp32, space for LN_q(query)·Wqᵀ + bq, computed by the encoder at load (not in the file)
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/checkpoint.h"
#include "model/config.h"

namespace headroom::model {

enum class WeightPart { kVision, kResampler, kLlm, kHead };
inline constexpr int kWeightParts = 4;
const char* WeightPartName(WeightPart part);

struct ExpectedTensor {
  std::string name;  // in the checkpoint
  std::vector<int64_t> shape;
  WeightPart part = WeightPart::kLlm;
};

// One matrix (or vector: rows = 1) in memory. Its sources lie below one another in this order.
struct HeldTensor {
  std::string name;
  WeightPart part = WeightPart::kLlm;
  int64_t rows = 0, cols = 0;
  bool full_precision = false;          // fp32 whatever the compute type
  std::vector<ExpectedTensor> sources;  // empty: computed at load
};

// In the order of execution. Sizes of layers, widths and vocabulary are bounded by LoadModelConfig, so nothing here
// overflows.
std::vector<HeldTensor> HeldTensors(const ModelConfig& config);
std::vector<ExpectedTensor> ExpectedTensors(const ModelConfig& config);
// Elements of all expected tensors, in total or of one part.
int64_t ParameterCount(const ModelConfig& config);
int64_t ParameterCount(const ModelConfig& config, WeightPart part);

// Every expected tensor is there, with its shape and a float type. INVALID_ARGUMENT names the tensor, what was found
// and what was wanted. The result is the number of tensors in the checkpoint that this model does not use (worth a log
// line, no error).
absl::StatusOr<int64_t> CheckTensors(const ModelConfig& config, const Checkpoint& checkpoint);

}  // namespace headroom::model
