// What the rows of an attention kernel are: where a block finds its tile of them, where a row's query and result lie
// and how many keys it sees.
#pragma once

#include <cstdint>

#include "runtime/cuda/kernels/attention.h"
#include "runtime/cuda/kernels/grid.h"

namespace headroom::runtime::cuda {

inline constexpr unsigned kAllLanes = 0xffffffffu;

// Inclusive sum over the lanes up to this one.
template <typename T>
__device__ T ScanLanes(T value) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    const T below = __shfl_up_sync(kAllLanes, value, step);
    if (lane >= step) value += below;
  }
  return value;
}

// Where item `at` lies when segment i has items(i) of them. By a whole warp, whose lanes look at a run of segments
// each; the run that has the item is divided again.
struct Place {
  int segment;   // −1: there are not so many
  int64_t item;  // of the segment
};
template <typename Items>
__device__ Place FindItem(int64_t at, int segments, Items items) {
  const int lane = threadIdx.x % 32;
  for (int first = 0;;) {
    const int run = (segments + 31) / 32, run_end = min((lane + 1) * run, segments);
    int64_t own = 0;
    for (int i = lane * run; i < run_end; ++i) own += items(first + i);
    const int64_t end = ScanLanes(own);
    const unsigned beyond = __ballot_sync(kAllLanes, end > at);
    if (beyond == 0) return {-1, 0};
    const int found = __ffs(static_cast<int>(beyond)) - 1;
    at -= __shfl_sync(kAllLanes, end - own, found);
    first += found * run;
    if (run == 1) return {first, at};
    segments = min(run, segments - found * run);
  }
}

__device__ inline int64_t TilesOf(int64_t rows, int tile_rows) { return (rows + tile_rows - 1) / tile_rows; }

// Tiles that `rows` rows of up to `segments` segments can have between them.
inline int64_t TilesMax(int64_t rows, int64_t segments, int tile_rows) {
  return rows / tile_rows + Least(segments, rows);
}

// A tile of rows of one segment, for one head.
class DenseRows {
 public:
  DenseRows() = default;
  // Of up to `tile_rows` rows from `first` on.
  __device__ DenseRows(const DenseAttention& args, int segment, int head, int64_t first, int tile_rows) {
    const DenseSegment& s = args.segments[segment];
    count = static_cast<int>(min(s.q_count - first, static_cast<int64_t>(tile_rows)));
    keys = static_cast<int>(s.k_count);
    column_ = static_cast<int64_t>(head) * args.head_dim;
    q_begin_ = s.q_begin + first;
    k_begin_ = s.k_begin;
    out_begin_ = (s.out_begin < 0 ? s.q_begin : s.out_begin) + first;
  }

  __device__ const float* Query(const DenseAttention& args, int row) const {
    return args.q + (q_begin_ + row) * args.q_stride + column_;
  }
  // Elements of out before the row's first one.
  __device__ int64_t Out(const DenseAttention& args, int row) const {
    return (out_begin_ + row) * args.out_stride + column_;
  }
  __device__ const float* Key(const DenseAttention& args, int key) const {
    return args.k + (k_begin_ + key) * args.k_stride + column_;
  }
  __device__ const float* Value(const DenseAttention& args, int key) const {
    return args.v + (k_begin_ + key) * args.v_stride + column_;
  }
  __device__ int Seen(int) const { return keys; }

  int count;  // rows
  int keys;   // that the last row sees

 private:
  int64_t column_, q_begin_, k_begin_, out_begin_;
};

// A tile of rows of one sequence, for one kv head. Rows are (token, head of the group) pairs, tokens outermost: all of
// them read the same keys, and row r sees no fewer than row r − 1.
class CachedRows {
 public:
  CachedRows() = default;
  __device__ CachedRows(const PagedAttention& args, int sequence, int kv_head, int64_t first, int tile_rows)
      : group_(args.heads / args.kv_heads), kv_head_(kv_head), first_(static_cast<int>(first)) {
    const CachedSequence& s = args.sequences[sequence];
    count = static_cast<int>(min(s.q_count * group_ - first, static_cast<int64_t>(tile_rows)));
    table_ = args.block_tables + sequence * args.table_size;
    q_begin_ = s.q_begin;
    column_ = static_cast<int64_t>(kv_head) * group_ * args.head_dim;
    seen_by_first_ = static_cast<int>(s.context_len - s.q_count) + 1;
    keys = Seen(count - 1);
  }

  __device__ const float* Query(const PagedAttention& args, int row) const {
    const int token = (first_ + row) / group_, head = first_ + row - token * group_;
    return args.q + (q_begin_ + token) * args.q_stride + column_ + head * args.head_dim;
  }
  __device__ int64_t Out(const PagedAttention& args, int row) const {
    const int token = (first_ + row) / group_, head = first_ + row - token * group_;
    return (q_begin_ + token) * args.out_stride + column_ + head * args.head_dim;
  }
  // Bytes before a key in the cache, and before its value.
  __device__ int64_t Offset(const PagedAttention& args, int key) const {
    const int block = key / args.block_size, token = key - block * args.block_size;
    const int64_t row = static_cast<int64_t>(kv_head_) * args.block_size + token;
    return table_[block] * args.block_bytes + row * args.head_dim * (args.cache_is_bf16 ? 2 : 4);
  }
  __device__ int Seen(int row) const { return seen_by_first_ + (first_ + row) / group_; }

  int count;
  int keys;

 private:
  int group_, kv_head_, first_, seen_by_first_;
  const int32_t* table_;
  int64_t q_begin_, column_;
};

// The tile of this block, heads innermost; its count is 0 when there is none. By a whole warp.
__device__ inline DenseRows FindRows(const DenseAttention& args, int tile_rows) {
  const Place place = FindItem(blockIdx.x / args.heads, args.segment_count,
                               [&](int i) { return TilesOf(args.segments[i].q_count, tile_rows); });
  if (place.segment < 0) return {};
  return {args, place.segment, static_cast<int>(blockIdx.x % args.heads), place.item * tile_rows, tile_rows};
}

inline int64_t CachedTilesMax(const PagedAttention& args, int tile_rows) {
  return TilesMax(args.q_rows * (args.heads / args.kv_heads), args.sequence_count, tile_rows);
}

// The same among the sequences of more rows than `above`. The last tiles, which see the most keys, come first.
__device__ inline CachedRows FindRows(const PagedAttention& args, int tile_rows, int64_t above) {
  const int tiles = gridDim.x / args.kv_heads, group = args.heads / args.kv_heads;
  const Place place = FindItem(tiles - 1 - blockIdx.x / args.kv_heads, args.sequence_count, [&](int i) {
    const int64_t rows = args.sequences[i].q_count;
    return rows > above ? TilesOf(rows * group, tile_rows) : 0;
  });
  if (place.segment < 0) return {};
  return {args, place.segment, static_cast<int>(blockIdx.x % args.kv_heads), place.item * tile_rows, tile_rows};
}

// One warp finds, all threads see it. In shared memory it costs no registers. False: there is none.
template <typename Rows, typename Find>
__device__ bool ShareRows(Rows& shared, Find find) {
  if (threadIdx.x < 32) {
    const Rows found = find();
    if (threadIdx.x == 0) shared = found;
  }
  __syncthreads();
  return shared.count > 0;
}

}  // namespace headroom::runtime::cuda
