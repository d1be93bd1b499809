// RMS norm, one block a row: y = x · w / sqrt(mean(x²) + eps). bf16 in and out, f32 between. hidden is a multiple of 8; up to 1,024 threads.
#include <cuda_bf16.h>

#include <cstdint>

namespace {

__device__ float WarpSum(float value) {
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
  return value;
}

// The sum over the block, for every thread.
__device__ float BlockSum(float value) {
  __shared__ float partial[32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  value = WarpSum(value);
  if (lane == 0) partial[warp] = value;
  __syncthreads();
  value = lane < warps ? partial[lane] : 0.0f;
  return WarpSum(value);
}

// The two bf16 of a word.
__device__ float2 Unpack(uint32_t word) { return make_float2(__uint_as_float(word << 16), __uint_as_float(word & 0xffff0000u)); }
__device__ float Squares(uint32_t word) {
  const float2 f = Unpack(word);
  return f.x * f.x + f.y * f.y;
}
__device__ uint32_t Scaled(uint32_t x, uint32_t w, float scale) {
  const float2 f = Unpack(x), g = Unpack(w);
  const __nv_bfloat162 pair = __floats2bfloat162_rn(f.x * scale * g.x, f.y * scale * g.y);
  uint32_t word;
  memcpy(&word, &pair, sizeof word);
  return word;
}

}  // namespace

// x, w, y: 8 elements in each.
extern "C" __global__ void __launch_bounds__(256) RowNorm(const uint4* x, const uint4* w, uint4* y, int hidden, float eps) {
  const int eighths = hidden / 8;
  const uint4* row = x + static_cast<size_t>(blockIdx.x) * eighths;
  float squares = 0;
  for (int i = threadIdx.x; i < eighths; i += blockDim.x) {
    const uint4 v = row[i];
    squares += Squares(v.x) + Squares(v.y) + Squares(v.z) + Squares(v.w);
  }
  const float scale = rsqrtf(BlockSum(squares) / hidden + eps);
  for (int i = threadIdx.x; i < eighths; i += blockDim.x) {
    const uint4 v = row[i], g = w[i];
    y[static_cast<size_t>(blockIdx.x) * eighths + i] =
        make_uint4(Scaled(v.x, g.x, scale), Scaled(v.y, g.y, scale), Scaled(v.z, g.z, scale), Scaled(v.w, g.w, scale));
  }
}
