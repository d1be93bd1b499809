// Flash attention of a tile of 128 query rows: 8 warps of 16 rows, keys in tiles, a running softmax. S = Q·Kᵀ and
// O = P·V are mma.sync of bf16 with f32 sums; scores and weights never leave registers.
//
// Keys says whose rows and keys these are (flash_dense.cu, flash_paged.cu):
//   kHeadDim, kKeys      keys of a tile
//   kBlocks              that share a multiprocessor's registers: 2 where 128 a thread are enough
//   Args, Rows           what a launch is given; a tile of rows (attention_rows.cuh)
//   kStagingBytes        shared memory of its own, behind the two tiles
//   Fetch(t)             begins to copy tile t; nobody reads the memory that it writes
//   Publish(t)           makes this thread's share of tile t true in the tile that is shown
// A barrier stands behind each Publish, and Fetch(t + 1) behind it: so tile t + 1 travels while tile t is computed, and
// tile t − 1, which all warps have left, is free for it.
#pragma once

#include <cfloat>

#include "runtime/cuda/kernels/attention_rows.cuh"
#include "runtime/cuda/kernels/mma.cuh"

namespace headroom::runtime::cuda {

inline constexpr int kFlashWarps = 8;
inline constexpr int kFlashThreads = 32 * kFlashWarps;
inline constexpr int kFlashRows = 16 * kFlashWarps;

// Two tiles of keys and values: K, V, K, V. The queries, and at the end the results, lie in the last kFlashRows rows.
template <int kHeadDim, int kKeys>
struct FlashTiles {
  using Head = HeadShape<kHeadDim>;
  static constexpr int kRows = 4 * kKeys;
  static constexpr int kElements = kRows * Head::kStride;
  static_assert(kRows >= kFlashRows);

  __device__ Bf16* Keys(int tile) const { return memory + tile % 2 * 2 * kKeys * Head::kStride; }
  __device__ Bf16* Values(int tile) const { return Keys(tile) + kKeys * Head::kStride; }
  __device__ Bf16* Row(int row) const { return memory + (kRows - kFlashRows + row) * Head::kStride; }

  Bf16* memory;
};

// Eight values of a row in f32, wherever it begins.
__device__ inline void LoadEight(float (&to)[8], const float* from, bool aligned) {
  if (aligned) {
    const float4 low = reinterpret_cast<const float4*>(from)[0], high = reinterpret_cast<const float4*>(from)[1];
    to[0] = low.x, to[1] = low.y, to[2] = low.z, to[3] = low.w;
    to[4] = high.x, to[5] = high.y, to[6] = high.z, to[7] = high.w;
  } else {
#pragma unroll
    for (int i = 0; i < 8; ++i) to[i] = from[i];
  }
}

// Eight bf16 to a row of out, wherever it begins.
__device__ inline void StoreEight(Bf16* to, const uint4& values, bool aligned) {
  if (aligned) {
    *reinterpret_cast<uint4*>(to) = values;
  } else {
    const uint32_t words[4] = {values.x, values.y, values.z, values.w};
    auto* const halves = reinterpret_cast<uint16_t*>(to);
#pragma unroll
    for (int i = 0; i < 8; ++i) halves[i] = static_cast<uint16_t>(words[i / 2] >> (i % 2 * 16));
  }
}

// One warp's 16 rows: lane l holds columns 2(l mod 4) and the next of rows l/4 and l/4 + 8.
template <int kHeadDim, int kKeys>
class FlashWarp {
 public:
  using Head = HeadShape<kHeadDim>;

  // `row`: the first of the 16, in shared memory.
  __device__ void LoadQueries(const Bf16* row) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < Head::kSteps; ++i) {
      LoadMatrices(query_[i], row + lane % 16 * Head::kStride + i * 16 + lane / 16 * 8);
    }
    if constexpr (Head::kHasHalfStep) LoadMatrices(half_query_, row + lane % 16 * Head::kStride + Head::kSteps * 16);
  }

  // Keys [0, kKeys) of a tile, of which row h (lane's first or second) sees the first seen[h]; everything when `all`.
  __device__ void AddKeys(const Bf16* keys, const Bf16* values, const int (&seen)[2], bool all) {
    float score[kKeys / 8][4] = {};
    Scores(keys, score);
    if (!all) Hide(seen, score);
    Weigh(score);
    AddValues(values, score);
  }

  // The 16 rows in bf16, to shared memory.
  __device__ void StoreResults(Bf16* row) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      total_[h] += __shfl_xor_sync(kAllLanes, total_[h], 1);
      total_[h] += __shfl_xor_sync(kAllLanes, total_[h], 2);
      const float inverse = 1.0f / total_[h];
#pragma unroll
      for (int j = 0; j < Head::kChunks; ++j) {
        auto* const to = reinterpret_cast<uint32_t*>(row + (lane / 4 + h * 8) * Head::kStride + j * 8);
        to[lane % 4] = Pack(sum_[j][2 * h] * inverse, sum_[j][2 * h + 1] * inverse);
      }
    }
  }

 private:
  __device__ void Scores(const Bf16* keys, float (&score)[kKeys / 8][4]) const {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < Head::kSteps; ++i) {
#pragma unroll
      for (int j = 0; j < kKeys / 16; ++j) {
        uint32_t b[4];
        const int key = j * 16 + lane / 16 * 8 + lane % 8;
        LoadMatrices(b, keys + key * Head::kStride + i * 16 + lane / 8 % 2 * 8);
        MultiplyAdd(score[2 * j], query_[i], b[0], b[1]);
        MultiplyAdd(score[2 * j + 1], query_[i], b[2], b[3]);
      }
    }
    if constexpr (Head::kHasHalfStep) {
#pragma unroll
      for (int j = 0; j < kKeys / 32; ++j) {
        uint32_t b[4];
        LoadMatrices(b, keys + (j * 32 + lane) * Head::kStride + Head::kSteps * 16);
#pragma unroll
        for (int n = 0; n < 4; ++n) MultiplyAdd8(score[4 * j + n], half_query_[0], half_query_[1], b[n]);
      }
    }
  }

  __device__ static void Hide(const int (&seen)[2], float (&score)[kKeys / 8][4]) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        if (j * 8 + lane % 4 * 2 + e % 2 >= seen[e / 2]) score[j][e] = -INFINITY;
      }
    }
  }

  // Scores become weights against the largest score so far.
  __device__ void Weigh(float (&score)[kKeys / 8][4]) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float most = most_[h];
#pragma unroll
      for (int j = 0; j < kKeys / 8; ++j) most = fmaxf(most, fmaxf(score[j][2 * h], score[j][2 * h + 1]));
      most = fmaxf(most, __shfl_xor_sync(kAllLanes, most, 1));
      most = fmaxf(most, __shfl_xor_sync(kAllLanes, most, 2));
      const float fade = Exp2(most_[h] - most);
      most_[h] = most;
      total_[h] *= fade;
#pragma unroll
      for (int j = 0; j < Head::kChunks; ++j) {
        sum_[j][2 * h] *= fade;
        sum_[j][2 * h + 1] *= fade;
      }
#pragma unroll
      for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
        for (int e = 2 * h; e < 2 * h + 2; ++e) {
          score[j][e] = Exp2(score[j][e] - most);
          total_[h] += score[j][e];
        }
      }
    }
  }

  __device__ void AddValues(const Bf16* values, const float (&weight)[kKeys / 8][4]) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < kKeys / 16; ++i) {
      const float(&low)[4] = weight[2 * i];
      const float(&high)[4] = weight[2 * i + 1];
      const uint32_t a[4] = {Pack(low[0], low[1]), Pack(low[2], low[3]), Pack(high[0], high[1]),
                             Pack(high[2], high[3])};
      const Bf16* const row = values + (i * 16 + lane % 16) * Head::kStride;
#pragma unroll
      for (int j = 0; j < Head::kChunks / 2; ++j) {
        uint32_t b[4];
        LoadTransposed(b, row + j * 16 + lane / 16 * 8);
        MultiplyAdd(sum_[2 * j], a, b[0], b[1]);
        MultiplyAdd(sum_[2 * j + 1], a, b[2], b[3]);
      }
      if constexpr (Head::kHasHalfStep) {
        uint32_t b[2];
        LoadTransposed(b, row + Head::kSteps * 16);
        MultiplyAdd(sum_[Head::kChunks - 1], a, b[0], b[1]);
      }
    }
  }

  uint32_t query_[Head::kSteps][4];
  uint32_t half_query_[2];
  float sum_[Head::kChunks][4] = {};
  float most_[2] = {-FLT_MAX, -FLT_MAX};  // a row sees a key in its first tile
  float total_[2] = {};                   // of this lane's columns
};

template <typename Keys>
__device__ void FlashAttend(const typename Keys::Args& args, const typename Keys::Rows& rows) {
  constexpr int kKeys = Keys::kKeys;
  using Head = HeadShape<Keys::kHeadDim>;
  using Tiles = FlashTiles<Keys::kHeadDim, kKeys>;
  extern __shared__ __align__(16) unsigned char shared[];
  const Tiles tiles = {reinterpret_cast<Bf16*>(shared)};
  Keys keys(args, rows, tiles, shared + Tiles::kElements * sizeof(Bf16));
  keys.Fetch(0);

  // Scores come out in powers of two.
  const float scale = args.scale * kLog2E;
  constexpr int kQueryChunks = kFlashRows * Head::kChunks;
#pragma unroll 4
  for (int turn = 0; turn < (kQueryChunks + kFlashThreads - 1) / kFlashThreads; ++turn) {
    const int i = turn * kFlashThreads + threadIdx.x, row = i / Head::kChunks, column = i % Head::kChunks * 8;
    if (kQueryChunks % kFlashThreads != 0 && i >= kQueryChunks) break;
    float q[8] = {};
    if (row < rows.count) LoadEight(q, rows.Query(args, row) + column, args.inputs_aligned);
    *reinterpret_cast<uint4*>(tiles.Row(row) + column) = {
        Pack(q[0] * scale, q[1] * scale), Pack(q[2] * scale, q[3] * scale), Pack(q[4] * scale, q[5] * scale),
        Pack(q[6] * scale, q[7] * scale)};
  }
  __syncthreads();
  const int lane = threadIdx.x % 32, first = threadIdx.x / 32 * 16;
  FlashWarp<Keys::kHeadDim, kKeys> warp;
  warp.LoadQueries(tiles.Row(first));
  __syncthreads();

  // What this lane's two rows see, and the first and last of the warp. Rows beyond the tile see what the last one does.
  const auto seen_by = [&](int row) { return rows.Seen(min(row, rows.count - 1)); };
  const int seen[2] = {seen_by(first + lane / 4), seen_by(first + lane / 4 + 8)};
  const int least = seen_by(first), most = first < rows.count ? seen_by(first + 15) : 0;
  for (int t = 0; t * kKeys < rows.keys; ++t) {
    keys.Publish(t);
    __syncthreads();
    if ((t + 1) * kKeys < rows.keys) keys.Fetch(t + 1);
    const int key = t * kKeys;
    if (key < most) warp.AddKeys(tiles.Keys(t), tiles.Values(t), {seen[0] - key, seen[1] - key}, key + kKeys <= least);
  }
  __syncthreads();
  if (first >= rows.count) return;
  warp.StoreResults(tiles.Row(first));
  __syncwarp();
  auto* const out = static_cast<Bf16*>(args.out);
#pragma unroll 1
  for (int i = lane; i < 16 * Head::kChunks; i += 32) {
    const int row = first + i / Head::kChunks, column = i % Head::kChunks * 8;
    if (row >= rows.count) break;
    StoreEight(out + rows.Out(args, row) + column, *reinterpret_cast<const uint4*>(tiles.Row(row) + column),
               args.out_aligned);
  }
}

template <typename Keys>
constexpr int FlashSharedBytes() {
  return FlashTiles<Keys::kHeadDim, Keys::kKeys>::kElements * static_cast<int>(sizeof(Bf16)) + Keys::kStagingBytes;
}

}  // namespace headroom::runtime::cuda
