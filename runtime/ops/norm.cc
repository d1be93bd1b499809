#include "runtime/ops/norm.h"

#include "runtime/backend.h"
#include "runtime/ops/check.h"

namespace headroom::runtime {
namespace {

absl::Status Check(const char* op, const ConstMatrix& x, const DeviceArray<const float>& gain, float eps,
                   const Matrix& y, int64_t groups = 1) {
  HEADROOM_RETURN_IF_ERROR(CheckView(op, "x", x, {DType::kF32}));
  HEADROOM_RETURN_IF_ERROR(CheckView(op, "y", y, {DType::kF32, DType::kBF16}));
  HEADROOM_RETURN_IF_ERROR(CheckEqual(op, "columns of y", y.cols, x.cols));
  HEADROOM_RETURN_IF_ERROR(CheckEqual(op, "rows of y", y.rows, x.rows));
  if (groups < 1 || x.cols % groups != 0) {
    return ArgumentError(op, absl::StrCat(groups, " groups do not divide ", x.cols, " columns"));
  }
  HEADROOM_RETURN_IF_ERROR(CheckArray(op, "gain", gain, x.cols / groups));
  if (!(eps >= 0.0f)) return ArgumentError(op, absl::StrCat("eps is ", eps));
  return absl::OkStatus();
}

}  // namespace

absl::Status LayerNorm(Device& device, const LayerNormArgs& args) {
  HEADROOM_RETURN_IF_ERROR(Check("LayerNorm", args.x, args.gain, args.eps, args.y));
  if (args.bias) HEADROOM_RETURN_IF_ERROR(CheckArray("LayerNorm", "bias", args.bias, args.x.cols));
  return device.backend().Run(args);
}

absl::Status RmsNorm(Device& device, const RmsNormArgs& args) {
  HEADROOM_RETURN_IF_ERROR(Check("RmsNorm", args.x, args.gain, args.eps, args.y, args.groups));
  if (args.accumulate) HEADROOM_RETURN_IF_ERROR(CheckView("RmsNorm", "y to add to", args.y, {DType::kF32}));
  return device.backend().Run(args);
}

}  // namespace headroom::runtime
