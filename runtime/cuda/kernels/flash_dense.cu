// Flash attention of packed segments whose keys and values are f32 matrices. cp.async brings them to shared memory as
// they are; each thread then turns what it copied itself into bf16, so no barrier stands between.
#include "runtime/cuda/kernels/flash_attention.cuh"
#include "runtime/cuda/kernels/head_sizes.cuh"

namespace headroom::runtime::cuda {
namespace {

template <int kHeadDimIn>
class DenseKeys {  // Called by: FlashAttend, whose Keys it is
 public:
  static constexpr int kHeadDim = kHeadDimIn;
  // So that staging and tiles stay below the 99 KiB of a block on compute capability 8.6, 8.9 and 12.0.
  static constexpr int kKeys = kHeadDim <= 72 ? 64 : 32;
  static constexpr int kBlocks = kHeadDim <= 80 ? 2 : 1;
  using Args = DenseAttention;
  using Rows = DenseRows;
  using Head = HeadShape<kHeadDim>;
  static constexpr int kParts = kKeys * kHeadDim / 4;  // of 16 bytes, of keys; as many of values
  static constexpr int kStagingBytes = 2 * kParts * 16;

  __device__ DenseKeys(const Args& args, const Rows& rows, FlashTiles<kHeadDim, kKeys> tiles, void* staging)
      : args_(args), rows_(rows), tiles_(tiles), staging_(static_cast<float4*>(staging)) {}

  __device__ void Fetch(int tile) {
#pragma unroll 1  // addresses of several turns would take the registers of the sums
    for (int i = threadIdx.x; i < kParts; i += kFlashThreads) {
      const int key = tile * kKeys + i / (kHeadDim / 4), column = i % (kHeadDim / 4) * 4;
      const bool valid = key < rows_.keys;
      Copy(staging_ + i, rows_.Key(args_, valid ? key : 0) + column, valid);
      Copy(staging_ + kParts + i, rows_.Value(args_, valid ? key : 0) + column, valid);
    }
    CommitCopies();
  }

  __device__ void Publish(int tile) {
    WaitForCopies<0>();
#pragma unroll 1
    for (int i = threadIdx.x; i < kParts; i += kFlashThreads) {
      const int at = i / (kHeadDim / 4) * Head::kStride + i % (kHeadDim / 4) * 4;
      Convert(staging_[i], tiles_.Keys(tile) + at);
      Convert(staging_[kParts + i], tiles_.Values(tile) + at);
    }
  }

 private:
  __device__ void Copy(float4* to, const float* from, bool valid) const {
    if (args_.inputs_aligned) {
      CopyAsync16(to, from, valid);
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) CopyAsync4(reinterpret_cast<float*>(to) + i, from + i, valid);
    }
  }
  __device__ static void Convert(const float4& from, Bf16* to) {
    *reinterpret_cast<uint2*>(to) = {Pack(from.x, from.y), Pack(from.z, from.w)};
  }

  const Args& args_;
  const Rows& rows_;
  const FlashTiles<kHeadDim, kKeys> tiles_;
  float4* const staging_;
};

template <int kHeadDim>
__global__ void __launch_bounds__(kFlashThreads, DenseKeys<kHeadDim>::kBlocks) FlashDense(const DenseAttention args) {
  __shared__ DenseRows rows;
  if (ShareRows(rows, [&] { return FindRows(args, kFlashRows); })) FlashAttend<DenseKeys<kHeadDim>>(args, rows);
}

}  // namespace

cudaError_t LaunchFlashAttention(const DenseAttention& args, cudaStream_t stream) {
  return WithHeadSize(args.head_dim, [&]<int kHeadDim>() {
    const int64_t tiles = TilesMax(args.out_rows, args.segment_count, kFlashRows);
    return Launch(FlashDense<kHeadDim>, tiles * args.heads, kFlashThreads, FlashSharedBytes<DenseKeys<kHeadDim>>(),
                  stream, args);
  });
}

}  // namespace headroom::runtime::cuda
