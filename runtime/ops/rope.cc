#include "runtime/ops/rope.h"

#include "runtime/backend.h"
#include "runtime/ops/check.h"

namespace headroom::runtime {

absl::Status CheckRope(const char* op, const RopeArgs& rope, int64_t rows, int64_t head_dim) {
  HEADROOM_RETURN_IF_ERROR(CheckView(op, "q", rope.q, {DType::kF32}));
  HEADROOM_RETURN_IF_ERROR(CheckEqual(op, "rows of q", rope.q.rows, rows));
  HEADROOM_RETURN_IF_ERROR(CheckHeads(op, rope.heads, head_dim));
  HEADROOM_RETURN_IF_ERROR(CheckEqual(op, "columns of q", rope.q.cols, rope.heads * head_dim));
  const int64_t pairs = rope.inv_freq.size;
  if (pairs < 1 || 2 * pairs > head_dim) {
    return ArgumentError(op, absl::StrCat(pairs, " pairs to turn in heads of ", head_dim));
  }
  int64_t in_sections = 0;
  bool ended = false;
  for (const int32_t section : rope.sections) {
    if (section < 0 || (ended && section > 0)) return ArgumentError(op, absl::StrCat("section of ", section, " pairs"));
    ended = ended || section == 0;
    in_sections += section;
  }
  if (in_sections > 0) HEADROOM_RETURN_IF_ERROR(CheckEqual(op, "pairs of all sections", in_sections, pairs));
  HEADROOM_RETURN_IF_ERROR(CheckArray(op, "inv_freq", rope.inv_freq, pairs));
  return CheckArray(op, "positions", rope.positions, rows * rope.axes());
}

absl::Status CheckPositions(std::span<const int32_t> positions) {
  for (const int32_t position : positions) {
    if (position < 0) return absl::InvalidArgumentError(absl::StrCat("position is ", position));
  }
  return absl::OkStatus();
}

absl::Status Rope(Device& device, const RopeArgs& args) {
  constexpr char kOp[] = "Rope";
  if (args.heads < 1) return ArgumentError(kOp, absl::StrCat(args.heads, " heads to turn"));
  HEADROOM_RETURN_IF_ERROR(CheckRope(kOp, args, args.q.rows, args.q.cols / args.heads));
  return device.backend().Run(args);
}

}  // namespace headroom::runtime
