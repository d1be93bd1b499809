// Sums and maxima over a warp and over a block, the same for every thread and in every run. For kernels alone.
#pragma once

namespace headroom::runtime::cuda {

inline constexpr unsigned kWholeWarp = 0xffffffffu;

__device__ inline float WarpSum(float value) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(kWholeWarp, value, step);
  return value;
}

// Over whole warps, at most 32. `partial` is shared, 32 values, and no other call's until a barrier came between.
__device__ inline float BlockSum(float value, float* partial) {
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  value = WarpSum(value);
  if (lane == 0) partial[warp] = value;
  __syncthreads();
  return WarpSum(lane < warps ? partial[lane] : 0.0f);
}

}  // namespace headroom::runtime::cuda
