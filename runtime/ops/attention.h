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

// Keys that are packed at a time; query rows that share them; query rows whose scores exist at a time.
inline constexpr int64_t kAttentionKeys = 128;
inline constexpr int64_t kAttentionRows = 256;
inline constexpr int64_t kAttentionScoreRows = 32;

// Closed form: depends on head_dim and threads alone, not on the length of segments. Holds for Attention and
// PagedAttention.
constexpr int64_t AttentionScratchBytes(int64_t head_dim, int threads) {
  // Per thread (runtime/cpu/flash.h): three blocks of keys, query rows and their sums, scores and their weights, and
  // two numbers per query row.
  const int64_t dim = (head_dim + 15) / 16 * 16;
  const int64_t floats =
      dim * (3 * kAttentionKeys + 2 * kAttentionRows) + 2 * kAttentionScoreRows * kAttentionKeys + 2 * kAttentionRows;
  return 4 * floats * threads;
}

}  // namespace headroom::runtime
