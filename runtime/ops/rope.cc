#include "runtime/ops/rope.h"

#include "runtime/backend.h"
#include "runtime/ops/check.h"

namespace headroom::runtime {

absl::Status Rope(Device& device, const RopeArgs& args) {
  constexpr char kOp[] = "Rope";
  constexpr int64_t kHalfDimMax = 512;
  HEADROOM_RETURN_IF_ERROR(CheckView(kOp, "x", args.x, {DType::kF32}));
  const int64_t half = static_cast<int64_t>(args.inv_freq.size());
  if (half < 1 || half > kHalfDimMax || args.heads < 1 || args.heads > kExtentMax) {
    return ArgumentError(kOp, absl::StrCat("heads is ", args.heads, ", inv_freq has ", half, " entries, at most ",
                                           kHalfDimMax, " allowed"));
  }
  HEADROOM_RETURN_IF_ERROR(CheckEqual(kOp, "columns of x", args.x.cols, args.heads * half * 2));
  HEADROOM_RETURN_IF_ERROR(CheckEqual(kOp, "rows of x", args.x.rows, static_cast<int64_t>(args.positions.size())));
  for (const int32_t position : args.positions) {
    if (position < 0) return ArgumentError(kOp, absl::StrCat("position is ", position));
  }
  return device.backend().Rope(args);
}

}  // namespace headroom::runtime
