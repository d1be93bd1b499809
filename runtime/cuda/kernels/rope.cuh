// Turning pairs of a head. For kernels alone.
#pragma once

#include "runtime/cuda/kernels/rope.h"
#include "runtime/cuda/kernels/sin_cos.cuh"
#include "runtime/cuda/kernels/values.cuh"

namespace headroom::runtime::cuda {

constexpr int kPairsMax = 256;  // of heads of 512

// The angles of a row, which are those of all its heads.
struct Angles {
  float cos[kPairsMax], sin[kPairsMax];
};

// By a whole block, which may use them behind the call.
__device__ inline void SetAngles(const Turned& rope, int64_t row, Angles& angles) {
  const int32_t* const position = rope.positions + row * rope.axes;
#pragma unroll 1
  for (int i = threadIdx.x; i < rope.pairs; i += blockDim.x) {
    int axis = 0;
#pragma unroll
    for (int before = 0; before < 3; ++before) axis += i >= rope.ends[before] ? 1 : 0;
    const SinCos angle = SinCosOf(static_cast<float>(position[axis]) * rope.inv_freq[i]);
    angles.cos[i] = angle.cos;
    angles.sin[i] = angle.sin;
  }
  __syncthreads();
}

// Pairs i … i + kValues − 1 of a head, one at a time where they are neighbours. `from` may be `to`.
template <int kValues, typename To>
__device__ void Turn(const Angles& angles, const Turned& rope, int i, const float* from, To* to) {
  const bool neighbours = kValues == 1 && rope.neighbours;  // TurnsByFour
  const int first = neighbours ? 2 * i : i, second = neighbours ? 2 * i + 1 : rope.pairs + i;
  const Values<kValues> cos = Load<kValues>(angles.cos + i), sin = Load<kValues>(angles.sin + i);
  Values<kValues> a = Load<kValues>(from + first), b = Load<kValues>(from + second);
#pragma unroll
  for (int j = 0; j < kValues; ++j) {
    const float turned = a.at[j] * cos.at[j] - b.at[j] * sin.at[j];
    b.at[j] = b.at[j] * cos.at[j] + a.at[j] * sin.at[j];
    a.at[j] = turned;
  }
  Store<kValues>(to + first, a);
  Store<kValues>(to + second, b);
}

// Whether four pairs of a head can be turned at a time.
inline bool TurnsByFour(const Turned& rope, int64_t rows) {
  const RowsIn queries = {
      .data = rope.q, .rows = rows, .cols = int64_t{rope.heads} * rope.head_dim, .stride = rope.q_stride};
  return !rope.neighbours && rope.pairs % 4 == 0 && rope.head_dim % 4 == 0 && ByFour(queries);
}

}  // namespace headroom::runtime::cuda
