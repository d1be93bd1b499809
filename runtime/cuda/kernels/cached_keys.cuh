// Keys and values of a cache of bf16 blocks on their way to shared memory.
#pragma once

#include "runtime/cuda/kernels/attention_rows.cuh"
#include "runtime/cuda/kernels/mma.cuh"

namespace headroom::runtime::cuda {

// A warp begins to copy kRows keys from `first` on, and their values, to rows of a HeadShape; those from `end` on
// become zeros, so that a weight of 0 meets no NaN. Lane r looks up where row r lies.
template <int kHeadDim, int kRows>
__device__ void CopyCachedKeys(const PagedAttention& args, const CachedRows& rows, int first, int end, Bf16* keys,
                               Bf16* values) {
  using Head = HeadShape<kHeadDim>;
  static_assert(kRows <= 32);
  const int lane = threadIdx.x % 32, own = first + lane % kRows;
  const int64_t own_offset = own < end ? rows.Offset(args, own) : 0;
  const auto* const cache = static_cast<const unsigned char*>(args.keys);
#pragma unroll
  for (int i = 0; i < (kRows * Head::kChunks + 31) / 32; ++i) {
    const int chunk = i * 32 + lane, row = chunk / Head::kChunks, column = chunk % Head::kChunks * 8;
    const int64_t offset = __shfl_sync(kAllLanes, own_offset, row % kRows);
    if ((i + 1) * 32 > kRows * Head::kChunks && row >= kRows) continue;
    const bool valid = first + row < end;
    const unsigned char* const key = cache + offset + column * 2;
    CopyAsync16(keys + row * Head::kStride + column, valid ? key : cache, valid);
    CopyAsync16(values + row * Head::kStride + column, valid ? key + args.value_offset : cache, valid);
  }
}

}  // namespace headroom::runtime::cuda
