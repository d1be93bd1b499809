// Sample: rows of logits and the sampling parameters of their requests → the next tokens.
//
// Order of the steps, as in Hugging Face transformers: repetition penalty, temperature, top_k, top_p, draw.
//   repetition penalty r: the logit of every id that was seen is divided by r where positive and multiplied by r where
//     negative, once however often the id was seen.
//   temperature t: logits are divided by t. 0 means greedy: the largest logit, the lowest id among equals.
//   top_k: the k largest logits stay (among equals the lower ids); 0 means all.
//   top_p: of those, the smallest set of most likely tokens whose probability reaches top_p stays; at least one.
//   draw: inverse of the cumulative distribution, by id, at noise that is a pure function of (seed, choice, position).
//
// sample_math.h has the noise and the weights, the same bits on every device: a request gives the same answer whoever
// shares its batch, on any device that computes the same logits, and when it moves to another worker in the middle.
#pragma once

#include <cstdint>

#include "common/status.h"
#include "runtime/device.h"
#include "runtime/matrix.h"

namespace headroom::runtime {

struct Sampling {
  float temperature = 1.0f;         // 0 … 100
  float top_p = 1.0f;               // above 0, up to 1
  int32_t top_k = 0;                // ≥ 0
  float repetition_penalty = 1.0f;  // above 0, up to 100
  uint64_t seed = 0;
};

// INVALID_ARGUMENT with the value and the limit; NaN is never within a limit.
absl::Status CheckSampling(const Sampling& sampling);

// One row.
struct SampleRow {
  Sampling sampling;      // CheckSampling holds
  uint64_t position = 0;  // of the token in the answer, 0-based
  uint32_t choice = 0;
};

// Words of 32 bits that hold a bit for each id of a vocabulary; id i is bit i % 32 of word i / 32.
constexpr int64_t SeenWords(int64_t vocab_size) { return (vocab_size + 31) / 32; }

// What SampleArgs::tokens holds for a row with a logit that is NaN or infinite: the model or its input is broken, and
// any token would be a lie.
inline constexpr int32_t kNotFinite = -1;

// Scratch that sampling takes for rows of so many logits.
constexpr int64_t SampleScratchBytes(int64_t vocab_size) { return 8 * vocab_size; }

struct SampleArgs {
  ConstMatrix logits;                      // [M,V] f32
  DeviceArray<const SampleRow> rows = {};  // [M]
  DeviceArray<const uint32_t> seen = {};   // [M, SeenWords(V)]: ids that the penalty applies to; not read where it is 1
  DeviceArray<int32_t> tokens = {};        // [M]
  DeviceSpan scratch = {};                 // SampleScratchBytes(V), 64-byte aligned
};

// INVALID_ARGUMENT on shapes, dtypes or too little scratch. M = 0 does nothing.
absl::Status Sample(Device& device, const SampleArgs& args);

}  // namespace headroom::runtime
