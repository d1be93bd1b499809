// Flash attention with cp.async, ldmatrix and mma.sync m16n8k16, head_dim 64. A block of 4 warps: 64 query rows of one head; tiles of 32 keys, two
// of them in flight. q, out [rows][heads][64]; k, v [keys][kv heads][64]. causal: row r sees keys ≤ r + keys − rows.
#include <cuda_bf16.h>

#include <cstdint>

namespace {

constexpr int kHeadDim = 64;
constexpr int kRows = 64;
constexpr int kTile = 32;
constexpr int kStride = kHeadDim + 8;  // 16 bytes more than a row, so that the 8 rows of a matrix lie in different banks
constexpr int kThreads = 128;

__device__ uint32_t Shared(const void* p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }

// 16 bytes, or zeros when `valid` does not hold.
__device__ void CopyAsync(uint32_t to, const void* from, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(valid ? 16 : 0) : "memory");
}
__device__ void CommitGroup() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kPending>
__device__ void WaitGroup() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}
__device__ void LoadMatrix4(uint32_t (&r)[4], uint32_t from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(from) : "memory");
}
__device__ void LoadMatrix2(uint32_t (&r)[2], uint32_t from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];" : "=r"(r[0]), "=r"(r[1]) : "r"(from) : "memory");
}
__device__ void LoadMatrix2Transposed(uint32_t (&r)[2], uint32_t from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];" : "=r"(r[0]), "=r"(r[1]) : "r"(from) : "memory");
}
__device__ void MultiplyAdd(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ uint32_t Pack(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  uint32_t bits;
  memcpy(&bits, &pair, sizeof bits);
  return bits;
}

template <int kCount>
__device__ void LoadRows(__nv_bfloat16* to, const __nv_bfloat16* from, int first, int rows, size_t stride) {
  for (int i = threadIdx.x; i < kCount * kHeadDim / 8; i += kThreads) {
    const int row = i / (kHeadDim / 8), column = i % (kHeadDim / 8) * 8;
    const bool valid = first + row < rows;
    CopyAsync(Shared(to + row * kStride + column), from + (valid ? (first + row) * stride + column : 0), valid);
  }
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kThreads)
    FlashAttention(const __nv_bfloat16* q, const __nv_bfloat16* k, const __nv_bfloat16* v, __nv_bfloat16* out, int rows, int keys, int heads, int kv_heads, int causal,
                   float scale) {
  __shared__ __align__(16) __nv_bfloat16 queries[kRows * kStride];
  __shared__ __align__(16) __nv_bfloat16 key_tiles[2][kTile * kStride];
  __shared__ __align__(16) __nv_bfloat16 value_tiles[2][kTile * kStride];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, head = blockIdx.y, first = blockIdx.x * kRows;
  const size_t q_stride = static_cast<size_t>(heads) * kHeadDim, kv_stride = static_cast<size_t>(kv_heads) * kHeadDim;
  const __nv_bfloat16* own_k = k + head / (heads / kv_heads) * kHeadDim;
  const __nv_bfloat16* own_v = v + head / (heads / kv_heads) * kHeadDim;
  LoadRows<kRows>(queries, q + head * kHeadDim, first, rows, q_stride);
  LoadRows<kTile>(key_tiles[0], own_k, 0, keys, kv_stride);
  LoadRows<kTile>(value_tiles[0], own_v, 0, keys, kv_stride);
  CommitGroup();
  const int shift = keys - rows, own_row = first + warp * 16 + lane / 4;
  const int end = causal ? min(keys, first + kRows + shift) : keys;
  const float log2_scale = scale * 1.44269504f;
  uint32_t query[kHeadDim / 16][4];
  float sum[kHeadDim / 8][4] = {}, most[2] = {-INFINITY, -INFINITY}, total[2] = {};
  for (int t = 0, stage = 0; t < end; t += kTile, stage ^= 1) {
    if (t + kTile < end) {
      LoadRows<kTile>(key_tiles[stage ^ 1], own_k, t + kTile, keys, kv_stride);
      LoadRows<kTile>(value_tiles[stage ^ 1], own_v, t + kTile, keys, kv_stride);
      CommitGroup();
      WaitGroup<1>();
    } else {
      WaitGroup<0>();
    }
    __syncthreads();
    if (t == 0) {
#pragma unroll
      for (int i = 0; i < kHeadDim / 16; i++) LoadMatrix4(query[i], Shared(queries + (warp * 16 + lane % 16) * kStride + i * 16 + lane / 16 * 8));
    }
    float score[kTile / 8][4] = {};
#pragma unroll
    for (int i = 0; i < kHeadDim / 16; i++) {
#pragma unroll
      for (int j = 0; j < kTile / 8; j++) {
        uint32_t b[2];
        LoadMatrix2(b, Shared(key_tiles[stage] + (j * 8 + lane % 8) * kStride + i * 16 + lane / 8 % 2 * 8));
        MultiplyAdd(score[j], query[i], b);
      }
    }
    float now[2] = {most[0], most[1]};
#pragma unroll
    for (int j = 0; j < kTile / 8; j++) {
#pragma unroll
      for (int e = 0; e < 4; e++) {
        const int key = t + j * 8 + lane % 4 * 2 + e % 2, row = own_row + e / 2 * 8;
        if (key >= keys || (causal && key > row + shift)) score[j][e] = -INFINITY;
        now[e / 2] = fmaxf(now[e / 2], score[j][e]);
      }
    }
    float fade[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
      now[h] = fmaxf(now[h], __shfl_xor_sync(0xffffffffu, now[h], 1));
      now[h] = fmaxf(now[h], __shfl_xor_sync(0xffffffffu, now[h], 2));
      const float safe = now[h] == -INFINITY ? 0.0f : now[h];
      fade[h] = exp2f((most[h] - safe) * log2_scale);
      most[h] = now[h];
      now[h] = safe;
      total[h] *= fade[h];
    }
#pragma unroll
    for (int j = 0; j < kHeadDim / 8; j++) {
#pragma unroll
      for (int e = 0; e < 4; e++) sum[j][e] *= fade[e / 2];
    }
    uint32_t weight[kTile / 16][4];
#pragma unroll
    for (int j = 0; j < kTile / 8; j++) {
#pragma unroll
      for (int e = 0; e < 4; e++) {
        score[j][e] = exp2f((score[j][e] - now[e / 2]) * log2_scale);
        total[e / 2] += score[j][e];
      }
      weight[j / 2][j % 2 * 2] = Pack(score[j][0], score[j][1]);
      weight[j / 2][j % 2 * 2 + 1] = Pack(score[j][2], score[j][3]);
    }
#pragma unroll
    for (int i = 0; i < kTile / 16; i++) {
#pragma unroll
      for (int j = 0; j < kHeadDim / 8; j++) {
        uint32_t b[2];
        LoadMatrix2Transposed(b, Shared(value_tiles[stage] + (i * 16 + lane % 16) * kStride + j * 8));
        MultiplyAdd(sum[j], weight[i], b);
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int h = 0; h < 2; h++) {
    total[h] += __shfl_xor_sync(0xffffffffu, total[h], 1);
    total[h] += __shfl_xor_sync(0xffffffffu, total[h], 2);
    const float inverse = total[h] > 0 ? 1.0f / total[h] : 0.0f;
    const int row = own_row + h * 8;
    if (row >= rows) continue;
#pragma unroll
    for (int j = 0; j < kHeadDim / 8; j++) {
      uint32_t* to = reinterpret_cast<uint32_t*>(out + row * q_stride + head * kHeadDim + j * 8 + lane % 4 * 2);
      *to = Pack(sum[j][h * 2] * inverse, sum[j][h * 2 + 1] * inverse);
    }
  }
}
