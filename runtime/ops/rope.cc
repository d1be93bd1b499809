#include "runtime/ops/rope.h"

#include "runtime/backend.h"
#include "runtime/ops/check.h"

namespace headroom::runtime {

absl::Status CheckPositions(std::span<const int32_t> positions) {
  for (const int32_t position : positions) {
    if (position < 0) return absl::InvalidArgumentError(absl::StrCat("position is ", position));
  }
  return absl::OkStatus();
}

absl::Status Rope(Device& device, const RopeArgs& args) {
  constexpr char kOp[] = "Rope";
  constexpr int64_t kHalfDimMax = 512;
  HEADROOM_RETURN_IF_ERROR(CheckView(kOp, "x", args.x, {DType::kF32}));
  const int64_t half = args.inv_freq.size;
  if (half < 1 || half > kHalfDimMax || args.heads < 1 || args.heads > kExtentMax) {
    return ArgumentError(kOp, absl::StrCat("heads is ", args.heads, ", inv_freq has ", half, " entries, at most ",
                                           kHalfDimMax, " allowed"));
  }
  HEADROOM_RETURN_IF_ERROR(CheckEqual(kOp, "columns of x", args.x.cols, args.heads * half * 2));
  HEADROOM_RETURN_IF_ERROR(CheckArray(kOp, "inv_freq", args.inv_freq, half));
  HEADROOM_RETURN_IF_ERROR(CheckArray(kOp, "positions", args.positions, args.x.rows));
  return device.backend().Run(args);
}

}  // namespace headroom::runtime
