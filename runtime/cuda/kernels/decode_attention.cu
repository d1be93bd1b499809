// Attention of sequences with few rows in a step over their blocks of a bf16 cache: bound by how fast keys and values
// arrive, so every block brings as many as every other one, whatever the lengths.
//
// A unit is one tile of kRows rows of a sequence for one kv head; its keys count in tiles of kTileKeys. All tiles of
// all units stand in a row, sequences outermost, tiles innermost, and block b takes the b-th of equal shares. A unit
// that one block has whole is finished by it. Of another one each of its blocks leaves what it has, (m, l, o), in
// scratch: slot 0 of a block is for the unit that its share begins in, slot 1 for the one that it ends in. Merge adds
// them up.
//
// Products are Sᵀ = K·Qᵀ and Oᵀ = Vᵀ·Pᵀ, so that the 16 rows of mma.sync are keys and columns of the head, and its 8
// columns the query rows: a group of 7 heads fills 7 of 8.
#include <cfloat>

#include "runtime/cuda/kernels/cached_keys.cuh"
#include "runtime/cuda/kernels/head_sizes.cuh"

namespace headroom::runtime::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;
constexpr int kWarpKeys = 16;
constexpr int kTileKeys = kWarpKeys * kWarps;
constexpr int64_t kShareMin = 2;  // tiles: below 128 keys, finding and merging would cost more than they save

// Tiles that a sequence has.
template <int kRows>
struct Work {
  int64_t row_tiles, key_tiles;

  __device__ Work(const PagedAttention& args, int sequence) {
    const CachedSequence& s = args.sequences[sequence];
    const bool decoded = s.q_count > 0 && s.q_count <= args.decoded_max;
    row_tiles = decoded ? TilesOf(s.q_count * (args.heads / args.kv_heads), kRows) : 0;
    key_tiles = TilesOf(s.context_len, kTileKeys);
  }
  __device__ int64_t Tiles(const PagedAttention& args) const { return row_tiles * args.kv_heads * key_tiles; }
};

// Of all sequences, and of those before `sequence`. By a whole block.
struct Sums {
  int64_t all, before;
};
template <int kRows>
__device__ Sums SumTiles(const PagedAttention& args, int sequence) {
  __shared__ Sums warps[kWarps];
  Sums sums = {};
#pragma unroll 1
  for (int i = threadIdx.x; i < args.sequence_count; i += kThreads) {
    const int64_t tiles = Work<kRows>(args, i).Tiles(args);
    sums.all += tiles;
    if (i < sequence) sums.before += tiles;
  }
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    sums.all += __shfl_xor_sync(kAllLanes, sums.all, step);
    sums.before += __shfl_xor_sync(kAllLanes, sums.before, step);
  }
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = sums;
  __syncthreads();
  sums = warps[0];
#pragma unroll
  for (int w = 1; w < kWarps; ++w) sums.all += warps[w].all, sums.before += warps[w].before;
  return sums;
}

__device__ int64_t ShareOf(int64_t tiles, int64_t blocks) {
  const int64_t share = (tiles + blocks - 1) / blocks;
  return share < kShareMin ? kShareMin : share;
}

// What blocks leave of a unit.
template <int kRows>
struct Partial {
  __device__ Partial(const PagedAttention& args, int64_t block, int slot)
      : most(args.scratch + (block * 2 + slot) * kRows * (args.head_dim + 2)),
        total(most + kRows),
        sums(most + 2 * kRows) {}
  float* most;   // [kRows], in powers of two
  float* total;  // [kRows]
  float* sums;   // [kRows][head_dim]
};

// A warp's own keys and values: two stages of each, so that one travels while the other is computed with. When a unit
// ends, its sums lie there.
template <int kHeadDim, int kRows>
struct Stage {
  using Head = HeadShape<kHeadDim>;
  static constexpr int kElements = 4 * kWarpKeys * Head::kStride;
  // Rows of sums: 2(l mod 4) rows and l/4 columns further are 32 different banks.
  static constexpr int kSumStride = (kHeadDim + 15) / 16 * 16 + 4;
  static_assert(kRows * kSumStride * sizeof(float) <= kElements * sizeof(Bf16));

  __device__ Bf16* Keys(int tile) const { return memory + tile % 2 * 2 * kWarpKeys * Head::kStride; }
  __device__ Bf16* Values(int tile) const { return Keys(tile) + kWarpKeys * Head::kStride; }
  __device__ float* Sums() const { return reinterpret_cast<float*>(memory); }

  Bf16* memory;
};

// One warp's share of a unit's keys. Lane l holds rows 2(l mod 4) and the next, of each eight; keys, and columns of
// the head, l/4 and l/4 + 8.
template <int kHeadDim, int kRows>
class DecodeWarp {
 public:
  using Head = HeadShape<kHeadDim>;
  static constexpr int kEights = kRows / 8;
  static constexpr int kColumnTiles = (kHeadDim + 15) / 16;

  __device__ DecodeWarp(const PagedAttention& args, const CachedRows& rows) {
    const int lane = threadIdx.x % 32;
    const float scale = args.scale * kLog2E;
#pragma unroll
    for (int n = 0; n < kEights; ++n) {
      const bool valid = n * 8 + lane / 4 < rows.count;
      const float* const q = rows.Query(args, valid ? n * 8 + lane / 4 : 0) + lane % 4 * 2;
#pragma unroll
      for (int i = 0; i < Head::kChunks; ++i) {
        query_[n][i] = valid ? Pack(q[i * 8] * scale, q[i * 8 + 1] * scale) : 0;
      }
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        seen_[n][e] = rows.Seen(min(n * 8 + lane % 4 * 2 + e, rows.count - 1));
        most_[n][e] = -FLT_MAX;  // not −∞: the rows of the first tokens may see none of a block's keys
      }
    }
  }

  // Keys [first, first + 16) of the sequence.
  __device__ void AddKeys(const Bf16* keys, const Bf16* values, int first) {
    float score[kEights][4] = {};
    Scores(keys, score);
    uint32_t weight[kEights][2];
#pragma unroll
    for (int n = 0; n < kEights; ++n) Weigh(n, first, score[n], weight[n]);
    AddValues(values, weight);
  }

  // To [kRows][stride] and two times [kRows].
  __device__ void Store(float* sums, int stride, float* most, float* total) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int n = 0; n < kEights; ++n) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const int row = n * 8 + lane % 4 * 2 + e;
        for (int step = 4; step < 32; step *= 2) total_[n][e] += __shfl_xor_sync(kAllLanes, total_[n][e], step);
        if (lane < 4) most[row] = most_[n][e], total[row] = total_[n][e];
#pragma unroll
        for (int i = 0; i < kColumnTiles; ++i) {
          sums[row * stride + i * 16 + lane / 4] = sum_[n][i][e];
          if (i < Head::kSteps) sums[row * stride + i * 16 + 8 + lane / 4] = sum_[n][i][2 + e];
        }
      }
    }
  }

 private:
  __device__ void Scores(const Bf16* keys, float (&score)[kEights][4]) const {
    const int lane = threadIdx.x % 32;
    const Bf16* const row = keys + lane % 16 * Head::kStride;
#pragma unroll
    for (int i = 0; i < Head::kSteps; ++i) {
      uint32_t a[4];
      LoadMatrices(a, row + i * 16 + lane / 16 * 8);
#pragma unroll
      for (int n = 0; n < kEights; ++n) MultiplyAdd(score[n], a, query_[n][2 * i], query_[n][2 * i + 1]);
    }
    if constexpr (Head::kHasHalfStep) {
      uint32_t a[2];
      LoadMatrices(a, row + Head::kSteps * 16);
#pragma unroll
      for (int n = 0; n < kEights; ++n) MultiplyAdd8(score[n], a[0], a[1], query_[n][Head::kChunks - 1]);
    }
  }

  __device__ void Weigh(int n, int first, float (&score)[4], uint32_t (&weight)[2]) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int hidden_from = seen_[n][e] - first;
      if (lane / 4 >= hidden_from) score[e] = -INFINITY;
      if (lane / 4 + 8 >= hidden_from) score[2 + e] = -INFINITY;
      float most = fmaxf(most_[n][e], fmaxf(score[e], score[2 + e]));
#pragma unroll
      for (int step = 4; step < 32; step *= 2) most = fmaxf(most, __shfl_xor_sync(kAllLanes, most, step));
      const float fade = Exp2(most_[n][e] - most);
      most_[n][e] = most;
      score[e] = Exp2(score[e] - most);
      score[2 + e] = Exp2(score[2 + e] - most);
      total_[n][e] = total_[n][e] * fade + score[e] + score[2 + e];
#pragma unroll
      for (int i = 0; i < kColumnTiles; ++i) {
        sum_[n][i][e] *= fade;
        sum_[n][i][2 + e] *= fade;
      }
    }
    weight[0] = Transpose(Pack(score[0], score[1]));
    weight[1] = Transpose(Pack(score[2], score[3]));
  }

  __device__ void AddValues(const Bf16* values, const uint32_t (&weight)[kEights][2]) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < Head::kSteps; ++i) {
      uint32_t a[4];
      LoadTransposed(a, values + (lane / 16 * 8 + lane % 8) * Head::kStride + i * 16 + lane / 8 % 2 * 8);
#pragma unroll
      for (int n = 0; n < kEights; ++n) MultiplyAdd(sum_[n][i], a, weight[n][0], weight[n][1]);
    }
    if constexpr (Head::kHasHalfStep) {
      uint32_t low[2];
      LoadTransposed(low, values + lane % 16 * Head::kStride + Head::kSteps * 16);
      const uint32_t a[4] = {low[0], 0, low[1], 0};
#pragma unroll
      for (int n = 0; n < kEights; ++n) MultiplyAdd(sum_[n][Head::kSteps], a, weight[n][0], weight[n][1]);
    }
  }

  uint32_t query_[kEights][Head::kChunks];
  int seen_[kEights][2];
  float sum_[kEights][kColumnTiles][4] = {};
  float most_[kEights][2];
  float total_[kEights][2] = {};  // of this lane's keys
};

template <int kHeadDim, int kRows>
__global__ void __launch_bounds__(kThreads, kDecodeBlocks) Decode(const PagedAttention args) {
  using Warp = DecodeWarp<kHeadDim, kRows>;
  extern __shared__ __align__(16) unsigned char shared[];
  __shared__ float most[kWarps][kRows], total[kWarps][kRows];
  const int warp_index = threadIdx.x / 32;
  const int64_t tiles = SumTiles<kRows>(args, 0).all, share = ShareOf(tiles, gridDim.x);
  int64_t at = blockIdx.x * share;
  const int64_t end = min(at + share, tiles);
  if (at >= end) return;
  Place place = FindItem(at, args.sequence_count, [&](int i) { return Work<kRows>(args, i).Tiles(args); });
  const auto stage_of = [&](int w) {
    return Stage<kHeadDim, kRows>{reinterpret_cast<Bf16*>(shared) + w * Stage<kHeadDim, kRows>::kElements};
  };
  const Stage<kHeadDim, kRows> stage = stage_of(warp_index);
  for (bool first_unit = true; at < end; first_unit = false) {
    Work<kRows> work(args, place.segment);
    while (place.item >= work.Tiles(args)) {
      place = {place.segment + 1, 0};
      work = Work<kRows>(args, place.segment);
    }
    const int unit = static_cast<int>(place.item / work.key_tiles);
    const int first_tile = static_cast<int>(place.item % work.key_tiles);
    const int last_tile = static_cast<int>(min(work.key_tiles, first_tile + end - at));
    const int kv_head = static_cast<int>(unit / work.row_tiles), row_tile = static_cast<int>(unit % work.row_tiles);
    const CachedRows rows(args, place.segment, kv_head, int64_t{row_tile} * kRows, kRows);

    const auto fetch = [&](int tile) {
      CopyCachedKeys<kHeadDim, kWarpKeys>(args, rows, tile * kTileKeys + warp_index * kWarpKeys, rows.keys,
                                          stage.Keys(tile), stage.Values(tile));
    };
    fetch(first_tile);
    CommitCopies();
    Warp warp(args, rows);
    for (int tile = first_tile; tile < last_tile; ++tile) {
      if (tile + 1 < last_tile) fetch(tile + 1);
      CommitCopies();
      WaitForCopies<1>();
      __syncwarp();
      const int key = tile * kTileKeys + warp_index * kWarpKeys;
      if (key < rows.keys) warp.AddKeys(stage.Keys(tile), stage.Values(tile), key);
      __syncwarp();
    }
    constexpr int kSumStride = Stage<kHeadDim, kRows>::kSumStride;
    warp.Store(stage.Sums(), kSumStride, most[warp_index], total[warp_index]);
    __syncthreads();
    const bool whole = first_tile == 0 && last_tile == work.key_tiles;
    const Partial<kRows> partial(args, blockIdx.x, first_unit ? 0 : 1);
    for (int i = threadIdx.x; i < rows.count * kHeadDim; i += kThreads) {
      const int row = i / kHeadDim, column = i % kHeadDim;
      float largest = -FLT_MAX, weight = 0, sum = 0;
#pragma unroll
      for (int w = 0; w < kWarps; ++w) largest = fmaxf(largest, most[w][row]);
#pragma unroll
      for (int w = 0; w < kWarps; ++w) {
        const float fade = Exp2(most[w][row] - largest);
        weight += fade * total[w][row];
        sum += fade * stage_of(w).Sums()[row * kSumStride + column];
      }
      if (whole) {
        static_cast<Bf16*>(args.out)[rows.Out(args, row) + column] = __float2bfloat16_rn(sum / weight);
      } else {
        partial.sums[i] = sum;
        if (column == 0) partial.most[row] = largest, partial.total[row] = weight;
      }
    }
    __syncthreads();
    at += last_tile - first_tile;
    place.item += last_tile - first_tile;
  }
}

// A block for each row of each unit of a sequence. Its warps take the parts in turn.
template <int kHeadDim, int kRows>
__global__ void __launch_bounds__(kThreads, 4) Merge(const PagedAttention args, int64_t decode_blocks) {
  constexpr int kLaneColumns = (kHeadDim + 31) / 32;
  static_assert(kHeadDim <= kThreads);
  __shared__ float warp_sum[kWarps][kHeadDim], warp_total[kWarps];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, row = blockIdx.x % kRows;
  const int kv_head = blockIdx.x / kRows % args.kv_heads, sequence = blockIdx.x / kRows / args.kv_heads;
  const Work<kRows> work(args, sequence);
  if (work.row_tiles == 0) return;
  const Sums tiles = SumTiles<kRows>(args, sequence);
  const int64_t share = ShareOf(tiles.all, decode_blocks);
  int64_t begin = tiles.before + kv_head * work.row_tiles * work.key_tiles;
  for (int64_t row_tile = 0; row_tile < work.row_tiles; ++row_tile, begin += work.key_tiles) {
    const int64_t first = begin / share, last = (begin + work.key_tiles - 1) / share;
    const CachedRows rows(args, sequence, kv_head, row_tile * kRows, kRows);
    if (first == last || row >= rows.count) continue;  // that block finished it
    const auto partial_of = [&](int64_t block) { return Partial<kRows>(args, block, begin <= block * share ? 0 : 1); };
    float most = -FLT_MAX, total = 0, sum[kLaneColumns] = {};
    for (int64_t block = first + lane; block <= last; block += 32) most = fmaxf(most, partial_of(block).most[row]);
#pragma unroll
    for (int step = 16; step > 0; step /= 2) most = fmaxf(most, __shfl_xor_sync(kAllLanes, most, step));
#pragma unroll 4
    for (int64_t block = first + warp; block <= last; block += kWarps) {
      const Partial<kRows> partial = partial_of(block);
      const float weight = Exp2(partial.most[row] - most);
      total += weight * partial.total[row];
#pragma unroll
      for (int c = 0; c < kLaneColumns; ++c) {
        const int column = c * 32 + lane;
        if (column < kHeadDim) sum[c] += weight * partial.sums[row * kHeadDim + column];
      }
    }
#pragma unroll
    for (int c = 0; c < kLaneColumns; ++c) {
      if (c * 32 + lane < kHeadDim) warp_sum[warp][c * 32 + lane] = sum[c];
    }
    if (lane == 0) warp_total[warp] = total;
    __syncthreads();
    if (threadIdx.x < kHeadDim) {
      float all = 0, all_total = 0;
#pragma unroll
      for (int w = 0; w < kWarps; ++w) all += warp_sum[w][threadIdx.x], all_total += warp_total[w];
      static_cast<Bf16*>(args.out)[rows.Out(args, row) + threadIdx.x] = __float2bfloat16_rn(all / all_total);
    }
    __syncthreads();
  }
}

template <int kHeadDim, int kRows>
cudaError_t LaunchFor(const PagedAttention& args, cudaStream_t stream) {
  // The host knows how many tiles there are at most; blocks beyond would have nothing to do.
  const int64_t units = CachedTilesMax(args, kRows) * args.kv_heads;
  const int64_t tiles_max = units * DivideUp(args.table_size * args.block_size, kTileKeys);
  const int64_t blocks = Least(args.decode_blocks, DivideUp(tiles_max, kShareMin));
  constexpr int kSharedBytes = kWarps * Stage<kHeadDim, kRows>::kElements * static_cast<int>(sizeof(Bf16));
  const cudaError_t error = Launch(Decode<kHeadDim, kRows>, blocks, kThreads, kSharedBytes, stream, args);
  if (error != cudaSuccess || blocks <= 1) return error;
  return Launch(Merge<kHeadDim, kRows>, int64_t{args.sequence_count} * args.kv_heads * kRows, kThreads, 0, stream, args,
                blocks);
}

}  // namespace

cudaError_t LaunchDecodeAttention(const PagedAttention& args, cudaStream_t stream) {
  return WithHeadSize(args.head_dim, [&]<int kHeadDim>() {
    return DecodeRows(args.heads / args.kv_heads) == 8 ? LaunchFor<kHeadDim, 8>(args, stream)
                                                       : LaunchFor<kHeadDim, kDecodeRowsMax>(args, stream);
  });
}

}  // namespace headroom::runtime::cuda
