#include "runtime/cuda/kernels/kv_cache.h"
#include "runtime/cuda/kernels/values.cuh"

namespace headroom::runtime::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kBlocksPerCopyMax = 64;

// Blocks in x take a token each; those with y = 0 write its keys, those with y = 1 its values.
template <int kValues, typename Cache>
__global__ void __launch_bounds__(kThreads)
    PagedKvWrite(const float* k, int64_t k_stride, const float* v, int64_t v_stride, const int64_t* slots, KvLayer kv) {
  const bool values = blockIdx.y == 1;
  const float* const row = values ? v + blockIdx.x * v_stride : k + blockIdx.x * k_stride;
  const int64_t slot = slots[blockIdx.x];
  auto* const block =
      reinterpret_cast<Cache*>(kv.base + slot / kv.block_size * kv.block_bytes + (values ? kv.v_offset : kv.k_offset));
  Cache* const token = block + slot % kv.block_size * kv.head_dim;
  const auto head_dim = static_cast<int>(kv.head_dim);
  const auto parts = static_cast<int>(kv.heads * kv.head_dim / kValues);
  for (int part = threadIdx.x; part < parts; part += kThreads) {
    const int col = part * kValues;
    Cache* const to = token + col / head_dim * kv.block_size * head_dim + col % head_dim;
    Store<kValues>(to, Load<kValues>(row + col));
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
                               const KvLayer& kv) {
  if (k.rows == 0) return cudaSuccess;
  const bool by_four = ByFour(k) && ByFour(v) && kv.head_dim % 4 == 0 && MultiplesOf(kv.bf16 ? 8 : 16, kv);
  return WithType(kv.bf16, [&]<typename Cache>(Cache) {
    const auto kernel = by_four ? PagedKvWrite<4, Cache> : PagedKvWrite<1, Cache>;
    kernel<<<dim3(static_cast<unsigned>(k.rows), 2), kThreads, 0, grid.stream>>>(
        static_cast<const float*>(k.data), k.stride, static_cast<const float*>(v.data), v.stride, slots, kv);
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
