// Sampling (runtime/ops/sample.h). Returns what its launch answered.
#pragma once

#include "runtime/cuda/kernels/grid.h"

namespace headroom::runtime::cuda {

// runtime/ops/sample.h's SampleRow.
struct HowToSample {
  float temperature, top_p;
  int32_t top_k;
  float repetition_penalty;
  uint64_t seed, position;
  uint32_t choice;
};

// seen [rows, words of 32 bits]; tokens [rows].
cudaError_t LaunchSample(const Grid& grid, const RowsIn& logits, const HowToSample* how, const uint32_t* seen,
                         int32_t* tokens);

}  // namespace headroom::runtime::cuda
