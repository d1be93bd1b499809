// Flash attention of sequences over their blocks of a bf16 cache, causal: prefill, whole or in chunks.
#include "runtime/cuda/kernels/cached_keys.cuh"
#include "runtime/cuda/kernels/flash_attention.cuh"
#include "runtime/cuda/kernels/head_sizes.cuh"

namespace headroom::runtime::cuda {
namespace {

// Blocks travel to where they are computed with: two tiles, no staging.
template <int kHeadDimIn>
class CachedTiles {  // Called by: FlashAttend, whose Keys it is
 public:
  static constexpr int kHeadDim = kHeadDimIn;
  static constexpr int kKeys = 64;
  static constexpr int kBlocks = kHeadDim <= 64 ? 2 : 1;
  static constexpr int kStagingBytes = 0;
  using Args = PagedAttention;
  using Rows = CachedRows;

  __device__ CachedTiles(const Args& args, const Rows& rows, FlashTiles<kHeadDim, kKeys> tiles, void*)
      : args_(args), rows_(rows), tiles_(tiles) {}

  // Each warp brings an equal share of the rows.
  __device__ void Fetch(int tile) {
    constexpr int kRows = kKeys / kFlashWarps;
    const int row = threadIdx.x / 32 * kRows, at = row * HeadShape<kHeadDim>::kStride;
    CopyCachedKeys<kHeadDim, kRows>(args_, rows_, tile * kKeys + row, rows_.keys, tiles_.Keys(tile) + at,
                                    tiles_.Values(tile) + at);
    CommitCopies();
  }
  __device__ void Publish(int) { WaitForCopies<0>(); }

 private:
  const Args& args_;
  const Rows& rows_;
  const FlashTiles<kHeadDim, kKeys> tiles_;
};

template <int kHeadDim>
__global__ void __launch_bounds__(kFlashThreads, CachedTiles<kHeadDim>::kBlocks) FlashPaged(const PagedAttention args) {
  __shared__ CachedRows rows;
  if (ShareRows(rows, [&] { return FindRows(args, kFlashRows, args.decoded_max); }))
    FlashAttend<CachedTiles<kHeadDim>>(args, rows);
}

}  // namespace

cudaError_t LaunchFlashAttention(const PagedAttention& args, cudaStream_t stream) {
  return WithHeadSize(args.head_dim, [&]<int kHeadDim>() {
    return Launch(FlashPaged<kHeadDim>, CachedTilesMax(args, kFlashRows) * args.kv_heads, kFlashThreads,
                  FlashSharedBytes<CachedTiles<kHeadDim>>(), stream, args);
  });
}

}  // namespace headroom::runtime::cuda
