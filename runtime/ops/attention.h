// Dense attention: bidirectional, over packed segments that do not see each other (pieces of an image, the resampler's
// queries).
//
// For each segment and head: out = softmax(scale · q·kᵀ) · v. Scores live only tile by tile in scratch, under a running
// softmax. With out in f32 all products are f32. With out in bf16 q, k, v and the weights are rounded to bf16 where the
// device has bf16 products (sums stay f32), else computed in f32.
#pragma once

#include <cstdint>
#include <span>

#include "common/status.h"
#include "runtime/device.h"
#include "runtime/matrix.h"

namespace headroom::runtime {

// Rows [q_begin, q_begin + q_count) of q and out attend to rows [k_begin, k_begin + k_count) of k and v. k_count ≥ 1
// where q_count ≥ 1. Segments may share keys and queries' source rows (the resampler's 64 queries serve every piece)
// but then need their own output rows: out_begin is where the rows go; −1 means q_begin. No row of out belongs to two
// segments, so that out.rows bounds the rows of all of them: what a device knows that does not see the list.
struct AttentionSegment {
  int64_t q_begin = 0;
  int64_t q_count = 0;
  int64_t k_begin = 0;
  int64_t k_count = 0;
  int64_t out_begin = -1;
};

struct AttentionArgs {
  ConstMatrix q;                                      // [Tq, heads · head_dim] f32
  ConstMatrix k;                                      // [Tk, heads · head_dim] f32
  ConstMatrix v;                                      // [Tk, heads · head_dim] f32
  DeviceArray<const AttentionSegment> segments = {};  // CheckSegments holds for them
  int64_t heads = 0;
  int64_t head_dim = 0;  // 1 … 512
  float scale = 1.0f;
  Matrix out;               // [To, heads · head_dim] f32 | bf16; rows of no segment are left alone
  DeviceSpan scratch = {};  // AttentionScratchBytes, 64-byte aligned
};

// INVALID_ARGUMENT on shapes, dtypes or too little scratch.
absl::Status Attention(Device& device, const AttentionArgs& args);

// For who builds segments, on the host: INVALID_ARGUMENT when one lies outside of q [q_rows], k and v [k_rows] or out
// [out_rows], or has rows but no key.
absl::Status CheckSegments(std::span<const AttentionSegment> segments, int64_t q_rows, int64_t k_rows,
                           int64_t out_rows);

// What Attention and PagedAttention need on this device for heads of this size, whatever the number and the length of
// segments and sequences, and of heads. A closed form: a device that splits long sequences bounds the parts by its own
// size, and not by what a step brings.
int64_t AttentionScratchBytes(Device& device, int64_t head_dim);

}  // namespace headroom::runtime
