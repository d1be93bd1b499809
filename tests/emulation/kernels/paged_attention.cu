// Attention of one new token a sequence over a paged KV cache. Grid (kv heads, sequences), 128 threads; dynamic shared memory: group · length f32.
// q, out [sequences][heads][64]; k, v [blocks][kv heads][block_size][64]; table [sequences][blocks_max]; lengths [sequences].
#include <cuda_bf16.h>

#include <cfloat>

namespace {

constexpr int kHeadDim = 64;
constexpr int kGroupMax = 8;

__device__ float WarpSum(float value) {
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
  return value;
}
__device__ float WarpMax(float value) {
  for (int step = 16; step > 0; step /= 2) value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, step));
  return value;
}

}  // namespace

extern "C" __global__ void __launch_bounds__(128)
    PagedAttention(const __nv_bfloat16* q, const __nv_bfloat16* k, const __nv_bfloat16* v, const int* table, const int* lengths, __nv_bfloat16* out, int heads,
                   int kv_heads, int block_size, int blocks_max, float scale) {
  extern __shared__ float scores[];  // [group][length]
  __shared__ float inverse[kGroupMax];
  const int kv_head = blockIdx.x, sequence = blockIdx.y, group = heads / kv_heads, length = lengths[sequence];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const __nv_bfloat16* own_q = q + (static_cast<size_t>(sequence) * heads + kv_head * group) * kHeadDim;
  for (int t = warp; t < length; t += 4) {
    const int block = table[sequence * blocks_max + t / block_size];
    const __nv_bfloat16* key = k + ((static_cast<size_t>(block) * kv_heads + kv_head) * block_size + t % block_size) * kHeadDim;
    const float2 key2 = __bfloat1622float2(reinterpret_cast<const __nv_bfloat162*>(key)[lane]);
    for (int g = 0; g < group; g++) {
      const float2 q2 = __bfloat1622float2(reinterpret_cast<const __nv_bfloat162*>(own_q + g * kHeadDim)[lane]);
      const float s = WarpSum(q2.x * key2.x + q2.y * key2.y);
      if (lane == 0) scores[g * length + t] = s * scale;
    }
  }
  __syncthreads();
  for (int g = warp; g < group; g += 4) {
    float* row = scores + g * length;
    float most = -FLT_MAX, sum = 0;
    for (int t = lane; t < length; t += 32) most = fmaxf(most, row[t]);
    most = WarpMax(most);
    for (int t = lane; t < length; t += 32) {
      row[t] = __expf(row[t] - most);
      sum += row[t];
    }
    sum = WarpSum(sum);
    if (lane == 0) inverse[g] = 1.0f / sum;
  }
  __syncthreads();
  for (int i = threadIdx.x; i < group * kHeadDim; i += 128) {
    const int g = i / kHeadDim, d = i % kHeadDim;
    float sum = 0;
    for (int t = 0; t < length; t++) {
      const int block = table[sequence * blocks_max + t / block_size];
      sum += scores[g * length + t] * __bfloat162float(v[((static_cast<size_t>(block) * kv_heads + kv_head) * block_size + t % block_size) * kHeadDim + d]);
    }
    out[(static_cast<size_t>(sequence) * heads + kv_head * group + g) * kHeadDim + d] = __float2bfloat16(sum * inverse[g]);
  }
}
