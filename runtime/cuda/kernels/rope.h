// Rotary embedding (runtime/ops/rope.h). Returns what its launch answered.
#pragma once

#include "runtime/cuda/kernels/grid.h"

namespace headroom::runtime::cuda {

struct Turned {
  float* q = nullptr;  // [rows, heads · head_dim], in place
  int64_t q_stride = 0;
  int heads = 0;
  int head_dim = 0;
  int pairs = 0;  // of a head, ≤ 256
  bool neighbours = false;
  int axes = 1;
  int ends[4] = {};                    // pair i turns by the first axis whose end is above i
  const int32_t* positions = nullptr;  // [rows, axes]
  const float* inv_freq = nullptr;     // [pairs]
};

cudaError_t LaunchRope(const Grid& grid, int64_t rows, const Turned& rope);

}  // namespace headroom::runtime::cuda
