// Writing and copying blocks of the KV cache (runtime/ops/paged_attention.h). Each returns what its launch answered.
#pragma once

#include "runtime/cuda/kernels/grid.h"
#include "runtime/cuda/kernels/rope.h"

namespace headroom::runtime::cuda {

// One layer of the KV pool: in a block K is [heads, block_size, head_dim], V the same.
struct KvLayer {
  std::byte* base = nullptr;
  int64_t block_bytes = 0;
  int64_t k_offset = 0;
  int64_t v_offset = 0;
  bool bf16 = false;
  int64_t heads = 0;
  int64_t head_dim = 0;
  int64_t block_size = 0;  // tokens
};

// Keys turn on their way and queries in place; where `rope` has no pairs nobody does.
cudaError_t LaunchPagedKvWrite(const Grid& grid, const RowsIn& k, const RowsIn& v, const int64_t* slots,
                               const KvLayer& kv, const Turned& rope);

struct BlockPair {
  int32_t from, to;
};
cudaError_t LaunchCopyKvBlocks(const Grid& grid, const BlockPair* copies, int64_t count, std::byte* pool,
                               int64_t block_bytes);

}  // namespace headroom::runtime::cuda
