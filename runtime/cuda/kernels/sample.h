// Sampling (runtime/ops/sample.h). Returns what its launch answered.
#pragma once

#include "runtime/cuda/kernels/grid.h"

namespace headroom::runtime::cuda {

// runtime/ops/sample.h's SampleRow.
struct HowToSample {
  float temperature, top_p;
  int32_t top_k;
  float repetition_penalty, min_p;
  uint64_t seed, position;
  uint32_t choice;
  int32_t seen, allowed, first_change, changes, token, alternatives;
};
// Its LogitChange and its Alternative.
struct IdAndFloat {
  int32_t id;
  float value;
};
// Its LogitMeasure. Held for: the host, which reads it as that.
struct Measured {
  uint64_t total;
  float largest, logit;
};

// Its SampleArgs; null where there are none.
struct SampleArrays {
  float* logits;
  int64_t stride;
  int64_t vocab_size;
  const HowToSample* rows;
  uint32_t* seen;
  IdAndFloat* changes;
  const uint32_t* allowed;
  int32_t* tokens;
  Measured* measured;
  IdAndFloat* alternatives;
};
inline constexpr int kAlternativesPerRow = 20;

cudaError_t LaunchSample(const Grid& grid, int64_t rows, const SampleArrays& arrays);

}  // namespace headroom::runtime::cuda
