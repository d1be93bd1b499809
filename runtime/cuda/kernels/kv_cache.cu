#include "runtime/cuda/kernels/kv_cache.h"
#include "runtime/cuda/kernels/rope.cuh"
#include "runtime/cuda/kernels/values.cuh"

namespace headroom::runtime::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kBlocksPerCopyMax = 64;

// Where a token's head 0 lies in the cache; its heads lie kv.block_size · kv.head_dim apart.
template <typename Cache>
__device__ Cache* TokenOf(const KvLayer& kv, int64_t slot, int64_t offset) {
  auto* const block = reinterpret_cast<Cache*>(kv.base + slot / kv.block_size * kv.block_bytes + offset);
  return block + slot % kv.block_size * kv.head_dim;
}

// A row [heads · head_dim] as it is to its place in the cache. By a whole block.
template <int kValues, typename Cache>
__device__ void StoreRow(const float* row, Cache* token, const KvLayer& kv) {
  const auto head_dim = static_cast<int>(kv.head_dim), parts = static_cast<int>(kv.heads) * head_dim / kValues;
#pragma unroll 1
  for (int part = threadIdx.x; part < parts; part += kThreads) {
    const int col = part * kValues;
    Store<kValues>(token + col / head_dim * kv.block_size * head_dim + col % head_dim, Load<kValues>(row + col));
  }
}

// One block a token: its value and key go to the cache, the key turned, and its queries turn in place. Of a token
// whose slot is negative nothing is kept, and nothing turns.
template <int kValues, typename Cache>
__global__ void __launch_bounds__(kThreads)
    PagedKvWrite(const float* k, int64_t k_stride, const float* v, int64_t v_stride, const int64_t* slots, KvLayer kv,
                 Turned rope) {
  __shared__ __align__(16) Angles angles;
  const int64_t slot = slots[blockIdx.x];
  if (slot < 0) return;  // the whole block
  const float* const key = k + blockIdx.x * k_stride;
  auto* const cached_key = TokenOf<Cache>(kv, slot, kv.k_offset);
  StoreRow<kValues>(v + blockIdx.x * v_stride, TokenOf<Cache>(kv, slot, kv.v_offset), kv);
  if (rope.pairs == 0) {
    StoreRow<kValues>(key, cached_key, kv);
    return;
  }
  SetAngles(rope, blockIdx.x, angles);
  float* const query = rope.q + blockIdx.x * rope.q_stride;
  const int head_dim = rope.head_dim, kv_heads = static_cast<int>(kv.heads);
  const int64_t head_stride = kv.block_size * head_dim;  // in the cache
  const int parts = rope.pairs / kValues, queries = rope.heads * parts, all = queries + kv_heads * parts;
#pragma unroll 1
  for (int part = threadIdx.x; part < all; part += kThreads) {
    const int head = part / parts, i = part % parts * kValues;
    if (part < queries) {
      float* const at = query + head * head_dim;
      Turn<kValues>(angles, rope, i, at, at);
    } else {
      const int key_head = head - rope.heads;
      Turn<kValues>(angles, rope, i, key + key_head * head_dim, cached_key + key_head * head_stride);
    }
  }
  const int rest = head_dim - 2 * rope.pairs;  // of a key: kept as it is
#pragma unroll 1
  for (int i = threadIdx.x; i < kv_heads * rest; i += kThreads) {
    const int key_head = i / rest, col = 2 * rope.pairs + i % rest;
    Store<1>(cached_key + key_head * head_stride + col, Load<1>(key + key_head * head_dim + col));
  }
}

// Blocks in y take copies in turn, blocks in x share one.
template <typename Word>
__global__ void __launch_bounds__(kThreads)
    CopyKvBlocks(const BlockPair* copies, int64_t count, std::byte* pool, int64_t block_bytes) {
  const int64_t words = block_bytes / static_cast<int64_t>(sizeof(Word));
  for (int64_t i = blockIdx.y; i < count; i += gridDim.y) {
    const auto* const from = reinterpret_cast<const Word*>(pool + copies[i].from * block_bytes);
    auto* const to = reinterpret_cast<Word*>(pool + copies[i].to * block_bytes);
    const int64_t step = int64_t{gridDim.x} * kThreads;
    for (int64_t word = int64_t{blockIdx.x} * kThreads + threadIdx.x; word < words; word += step) to[word] = from[word];
  }
}

bool MultiplesOf(int64_t bytes, const KvLayer& kv) {
  const auto base = static_cast<int64_t>(reinterpret_cast<uintptr_t>(kv.base));
  return base % bytes == 0 && kv.block_bytes % bytes == 0 && kv.k_offset % bytes == 0 && kv.v_offset % bytes == 0;
}

}  // namespace

cudaError_t LaunchPagedKvWrite(const Grid& grid, const RowsIn& k, const RowsIn& v, const int64_t* slots,
                               const KvLayer& kv, const Turned& rope) {
  if (k.rows == 0) return cudaSuccess;
  const bool by_four =
      ByFour(k) && ByFour(v) && kv.head_dim % 4 == 0 && MultiplesOf(kv.bf16 ? 8 : 16, kv) && TurnsByFour(rope, k.rows);
  return WithType(kv.bf16, [&]<typename Cache>(Cache) {
    const auto kernel = by_four ? PagedKvWrite<4, Cache> : PagedKvWrite<1, Cache>;
    kernel<<<static_cast<unsigned>(k.rows), kThreads, 0, grid.stream>>>(
        static_cast<const float*>(k.data), k.stride, static_cast<const float*>(v.data), v.stride, slots, kv, rope);
    return cudaGetLastError();
  });
}

cudaError_t LaunchCopyKvBlocks(const Grid& grid, const BlockPair* copies, int64_t count, std::byte* pool,
                               int64_t block_bytes) {
  if (count == 0) return cudaSuccess;
  const bool wide = reinterpret_cast<uintptr_t>(pool) % 16 == 0 && block_bytes % 16 == 0;
  const int64_t shares = DivideUp(block_bytes / (wide ? 16 : 1), kThreads);
  const dim3 blocks(static_cast<unsigned>(Least(shares, kBlocksPerCopyMax)),
                    static_cast<unsigned>(Least(count, kGridYMax)));
  const auto kernel = wide ? CopyKvBlocks<uint4> : CopyKvBlocks<std::byte>;
  kernel<<<blocks, kThreads, 0, grid.stream>>>(copies, count, pool, block_bytes);
  return cudaGetLastError();
}

}  // namespace headroom::runtime::cuda
