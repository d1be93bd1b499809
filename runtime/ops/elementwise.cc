#include "runtime/ops/elementwise.h"

#include "runtime/backend.h"
#include "runtime/ops/check.h"

namespace headroom::runtime {
namespace {

absl::Status CheckSameShape(const char* op, const ConstMatrix& x, const Matrix& y) {
  HEADROOM_RETURN_IF_ERROR(CheckEqual(op, "columns of y", y.cols, x.cols));
  return CheckEqual(op, "rows of y", y.rows, x.rows);
}

}  // namespace

absl::Status GeluTanh(Device& device, const GeluTanhArgs& args) {
  HEADROOM_RETURN_IF_ERROR(CheckView("GeluTanh", "x", args.x, {DType::kF32}));
  HEADROOM_RETURN_IF_ERROR(CheckView("GeluTanh", "y", args.y, {DType::kF32, DType::kBF16}));
  HEADROOM_RETURN_IF_ERROR(CheckSameShape("GeluTanh", args.x, args.y));
  return device.backend().Run(args);
}

absl::Status GeluErf(Device& device, const GeluErfArgs& args) {
  HEADROOM_RETURN_IF_ERROR(CheckView("GeluErf", "x", args.x, {DType::kF32}));
  HEADROOM_RETURN_IF_ERROR(CheckView("GeluErf", "y", args.y, {DType::kF32, DType::kBF16}));
  HEADROOM_RETURN_IF_ERROR(CheckSameShape("GeluErf", args.x, args.y));
  return device.backend().Run(args);
}

absl::Status SiluMul(Device& device, const SiluMulArgs& args) {
  constexpr char kOp[] = "SiluMul";
  HEADROOM_RETURN_IF_ERROR(CheckView(kOp, "gate_up", args.gate_up, {DType::kF32}));
  HEADROOM_RETURN_IF_ERROR(CheckView(kOp, "y", args.y, {DType::kF32, DType::kBF16}));
  HEADROOM_RETURN_IF_ERROR(CheckEqual(kOp, "columns of gate_up", args.gate_up.cols, 2 * args.y.cols));
  HEADROOM_RETURN_IF_ERROR(CheckEqual(kOp, "rows of y", args.y.rows, args.gate_up.rows));
  return device.backend().Run(args);
}

absl::Status Convert(Device& device, const ConvertArgs& args) {
  HEADROOM_RETURN_IF_ERROR(CheckView("Convert", "x", args.x, {DType::kF32, DType::kBF16}));
  HEADROOM_RETURN_IF_ERROR(CheckView("Convert", "y", args.y, {DType::kF32, DType::kBF16}));
  HEADROOM_RETURN_IF_ERROR(CheckSameShape("Convert", args.x, args.y));
  return device.backend().Run(args);
}

absl::Status FindNonFinite(Device& device, const FindNonFiniteArgs& args) {
  constexpr char kOp[] = "FindNonFinite";
  HEADROOM_RETURN_IF_ERROR(CheckView(kOp, "x", args.x, {DType::kF32}));
  if (args.group < 1 || args.x.rows % args.group != 0) {
    return ArgumentError(kOp, absl::StrCat(args.x.rows, " rows in groups of ", args.group));
  }
  HEADROOM_RETURN_IF_ERROR(CheckArray(kOp, "found", args.found, args.x.rows / args.group));
  return device.backend().Run(args);
}

}  // namespace headroom::runtime
