#include "runtime/ops/attention.h"

#include <cmath>

#include "runtime/backend.h"
#include "runtime/ops/check.h"

namespace headroom::runtime {
namespace {

constexpr char kOp[] = "Attention";

bool Inside(int64_t begin, int64_t count, int64_t rows) { return begin >= 0 && count >= 0 && begin <= rows - count; }

absl::Status CheckSegment(const AttentionSegment& s, int64_t q_rows, int64_t k_rows, int64_t out_rows) {
  const int64_t out_begin = s.out_begin < 0 ? s.q_begin : s.out_begin;
  if (Inside(s.q_begin, s.q_count, q_rows) && Inside(out_begin, s.q_count, out_rows) &&
      Inside(s.k_begin, s.k_count, k_rows) && (s.k_count > 0 || s.q_count == 0)) {
    return absl::OkStatus();
  }
  return ArgumentError(kOp, absl::StrCat("segment of ", s.q_count, " rows from ", s.q_begin, " to ", out_begin, " and ",
                                         s.k_count, " keys from ", s.k_begin, " does not fit ", q_rows, " queries, ",
                                         out_rows, " output rows and ", k_rows, " keys"));
}

}  // namespace

absl::Status CheckSegments(std::span<const AttentionSegment> segments, int64_t q_rows, int64_t k_rows,
                           int64_t out_rows) {
  for (const AttentionSegment& segment : segments) {
    HEADROOM_RETURN_IF_ERROR(CheckSegment(segment, q_rows, k_rows, out_rows));
  }
  return absl::OkStatus();
}

int64_t AttentionScratchBytes(Device& device, int64_t head_dim) {
  return device.backend().AttentionScratchBytes(head_dim);
}

absl::Status Attention(Device& device, const AttentionArgs& args) {
  HEADROOM_RETURN_IF_ERROR(CheckView(kOp, "q", args.q, {DType::kF32}));
  HEADROOM_RETURN_IF_ERROR(CheckView(kOp, "k", args.k, {DType::kF32}));
  HEADROOM_RETURN_IF_ERROR(CheckView(kOp, "v", args.v, {DType::kF32}));
  HEADROOM_RETURN_IF_ERROR(CheckView(kOp, "out", args.out, {DType::kF32, DType::kBF16}));
  HEADROOM_RETURN_IF_ERROR(CheckHeads(kOp, args.heads, args.head_dim));
  for (const int64_t cols : {args.q.cols, args.k.cols, args.v.cols, args.out.cols}) {
    HEADROOM_RETURN_IF_ERROR(CheckEqual(kOp, "columns", cols, args.heads * args.head_dim));
  }
  HEADROOM_RETURN_IF_ERROR(CheckEqual(kOp, "rows of v", args.v.rows, args.k.rows));
  if (!std::isfinite(args.scale)) return ArgumentError(kOp, absl::StrCat("scale is ", args.scale));
  HEADROOM_RETURN_IF_ERROR(CheckArray(kOp, "segments", args.segments, args.segments.size));
  HEADROOM_RETURN_IF_ERROR(CheckScratch(kOp, args.scratch, AttentionScratchBytes(device, args.head_dim)));
  return device.backend().Run(args);
}

}  // namespace headroom::runtime
