#include "runtime/ops/attention.h"

#include <cmath>

#include "runtime/backend.h"
#include "runtime/ops/check.h"

namespace headroom::runtime {
namespace {

constexpr char kOp[] = "Attention";

bool Inside(int64_t begin, int64_t count, int64_t rows) { return begin >= 0 && count >= 0 && begin <= rows - count; }

absl::Status CheckSegment(const AttentionSegment& s, const AttentionArgs& args) {
  const int64_t out_begin = s.out_begin < 0 ? s.q_begin : s.out_begin;
  if (Inside(s.q_begin, s.q_count, args.q.rows) && Inside(out_begin, s.q_count, args.out.rows) &&
      Inside(s.k_begin, s.k_count, args.k.rows) && (s.k_count > 0 || s.q_count == 0)) {
    return absl::OkStatus();
  }
  return ArgumentError(kOp, absl::StrCat("segment of ", s.q_count, " rows from ", s.q_begin, " to ", out_begin, " and ",
                                         s.k_count, " keys from ", s.k_begin, " does not fit ", args.q.rows,
                                         " queries, ", args.out.rows, " output rows and ", args.k.rows, " keys"));
}

}  // namespace

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
  for (const AttentionSegment& segment : args.segments) HEADROOM_RETURN_IF_ERROR(CheckSegment(segment, args));
  HEADROOM_RETURN_IF_ERROR(CheckScratch(kOp, args.scratch, AttentionScratchBytes(args.head_dim, device.threads())));
  return device.backend().Attention(args);
}

}  // namespace headroom::runtime
