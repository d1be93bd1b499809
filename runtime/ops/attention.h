// Dense attention: bidirectional, over packed segments that do not see each other (pieces of an image, the resampler's
// queries).
//
// For each segment and head: out = softmax(scale · q·kᵀ) · v. Scores live only tile by tile in scratch, under a running
// softmax. With y in f32 all products are f32. With y in bf16 q, k, v and the weights are rounded to bf16 where the
// processor has bf16 products (sums stay f32), else computed in f32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/status.h"
#include "runtime/device.h"
#include "runtime/matrix.h"

namespace headroom::runtime {

// Rows [q_begin, q_begin + q_count) of q and out attend to rows [k_begin, k_begin + k_count) of k and v. k_count ≥ 1
// where q_count ≥ 1. Segments may share keys and queries' source rows (the resampler's 64 queries serve every piece)
// but then need their own output rows: out_begin is where the rows go; −1 means q_begin.
struct AttentionSegment {
  int64_t q_begin = 0;
  int64_t q_count = 0;
  int64_t k_begin = 0;
  int64_t k_count = 0;
  int64_t out_begin = -1;
};

struct AttentionArgs {
  ConstMatrix q;  // [Tq, heads · head_dim] f32
  ConstMatrix k;  // [Tk, heads · head_dim] f32
  ConstMatrix v;  // [Tk, heads · head_dim] f32
  std::span<const AttentionSegment> segments;
  int64_t heads = 0;
  int64_t head_dim = 0;  // 1 … 512
  float scale = 1.0f;
  Matrix out;                         // [To, heads · head_dim] f32 | bf16; rows of no segment are left alone
  std::span<std::byte> scratch = {};  // AttentionScratchBytes, 64-byte aligned
};

// INVALID_ARGUMENT on shapes, dtypes, segments outside the matrices or too little scratch.
absl::Status Attention(Device& device, const AttentionArgs& args);

// Closed form: depends on head_dim and threads alone, not on the length of segments. Holds for Attention and
// PagedAttention.
constexpr int64_t AttentionScratchBytes(int64_t head_dim, int threads) {
  // runtime/cpu/flash.h divides it: per thread three blocks of 128 keys, 256 rows of queries and of sums, 32 rows of
  // scores and of weights, and two numbers per query row.
  const int64_t dim = (head_dim + 15) / 16 * 16;
  return 4 * (dim * (3 * 128 + 2 * 256) + 2 * 32 * 128 + 2 * 256) * threads;
}

}  // namespace headroom::runtime
