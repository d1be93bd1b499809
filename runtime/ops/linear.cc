#include "runtime/ops/linear.h"

#include "runtime/backend.h"
#include "runtime/ops/check.h"

namespace headroom::runtime {
namespace {
constexpr char kOp[] = "Linear";
}  // namespace

absl::Status Linear(Device& device, const LinearArgs& args) {
  HEADROOM_RETURN_IF_ERROR(CheckView(kOp, "x", args.x, {DType::kF32, DType::kBF16}));
  HEADROOM_RETURN_IF_ERROR(CheckView(kOp, "weight", args.weight, {args.x.dtype}));
  HEADROOM_RETURN_IF_ERROR(CheckView(kOp, "y", args.y, {DType::kF32}));
  const int64_t n = args.weight_is_kn ? args.weight.cols : args.weight.rows;
  const int64_t k = args.weight_is_kn ? args.weight.rows : args.weight.cols;
  HEADROOM_RETURN_IF_ERROR(CheckEqual(kOp, "columns of x", args.x.cols, k));
  HEADROOM_RETURN_IF_ERROR(CheckEqual(kOp, "columns of y", args.y.cols, n));
  HEADROOM_RETURN_IF_ERROR(CheckEqual(kOp, "rows of y", args.y.rows, args.x.rows));
  HEADROOM_RETURN_IF_ERROR(CheckEqual(kOp, "row stride of weight", args.weight.row_stride, args.weight.cols));
  if (args.bias) HEADROOM_RETURN_IF_ERROR(CheckArray(kOp, "bias", args.bias, n));
  if (args.x.rows == 0) return absl::OkStatus();
  return device.backend().Run(args);
}

namespace {

// The spec with its strides filled in.
absl::StatusOr<LinearSpec> Checked(const LinearSpec& spec) {
  if (spec.dtype != DType::kF32 && spec.dtype != DType::kBF16) {
    return ArgumentError(kOp, absl::StrCat("dtype is ", DTypeName(spec.dtype)));
  }
  if (spec.n < 1 || spec.n > kExtentMax || spec.k < 1 || spec.k > kExtentMax || spec.rows_max < 0 ||
      spec.rows_max > kExtentMax) {
    return ArgumentError(kOp, absl::StrCat("n is ", spec.n, ", k is ", spec.k, ", rows_max is ", spec.rows_max));
  }
  LinearSpec dense = spec;
  if (dense.x_row_stride == 0) dense.x_row_stride = spec.k;
  if (dense.y_row_stride == 0) dense.y_row_stride = spec.n;
  if (dense.x_row_stride < spec.k || dense.x_row_stride > kExtentMax || dense.y_row_stride < spec.n ||
      dense.y_row_stride > kExtentMax) {
    return ArgumentError(kOp, absl::StrCat("row strides are ", spec.x_row_stride, " and ", spec.y_row_stride));
  }
  return dense;
}

}  // namespace

int64_t LinearRows(Device& device, int64_t rows) { return device.backend().LinearRows(rows); }

std::vector<int64_t> LinearBuckets(const KernelSizes& sizes, int64_t rows_max) {
  std::vector<int64_t> buckets;
  const int64_t last = rows_max > 0 ? sizes.LinearRows(rows_max) : 0;
  for (int64_t rows = 0; rows < last;) buckets.push_back(rows = sizes.LinearRows(rows + 1));
  return buckets;
}

absl::StatusOr<int64_t> PrepareLinear(Device& device, const LinearSpec& spec) {
  HEADROOM_ASSIGN_OR_RETURN(const LinearSpec dense, Checked(spec));
  return device.backend().PrepareLinear(dense);
}

absl::StatusOr<LinearNeeds> DescribeLinear(KernelSizes& sizes, const LinearSpec& spec) {
  HEADROOM_ASSIGN_OR_RETURN(const LinearSpec dense, Checked(spec));
  return sizes.DescribeLinear(dense);
}

}  // namespace headroom::runtime
