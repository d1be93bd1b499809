// The matrix product: cuBLASLt's, and an own one for places that it does not take.
#include "common/arith.h"
#include "runtime/cuda/cuda_backend.h"
#include "runtime/cuda/kernels/product.h"
#include "runtime/cuda/views.h"
#include "runtime/row_bucket.h"

namespace headroom::runtime::cuda {
namespace {

ProductShape ShapeOf(const LinearSpec& spec, int64_t rows) {
  return {.rows = rows,
          .n = spec.n,
          .k = spec.k,
          .x_row_stride = spec.x_row_stride,
          .y_row_stride = spec.y_row_stride,
          .dtype = spec.dtype,
          .bias = spec.bias,
          .accumulate = spec.accumulate,
          .weight_is_kn = spec.weight_is_kn};
}

ProductShape ShapeOf(const LinearArgs& args) {
  return {.rows = RowBucket(args.x.rows),
          .n = args.y.cols,
          .k = args.x.cols,
          .x_row_stride = args.x.row_stride,
          .y_row_stride = args.y.row_stride,
          .dtype = args.x.dtype,
          .bias = static_cast<bool>(args.bias),
          .accumulate = args.accumulate,
          .weight_is_kn = args.weight_is_kn};
}

}  // namespace

int64_t CudaBackend::LinearRows(int64_t rows) const { return sizes_.LinearRows(rows); }

absl::StatusOr<LinearNeeds> CudaBackend::DescribeLinear(const LinearSpec& spec) { return sizes_.DescribeLinear(spec); }

absl::StatusOr<int64_t> CudaBackend::PrepareLinear(const LinearSpec& spec) {
  for (int64_t rows = 1; rows <= RowBucket(spec.rows_max); rows = RowBucket(rows + 1)) {
    HEADROOM_RETURN_IF_ERROR(products_.Prepare(ShapeOf(spec, rows)));
  }
  HEADROOM_ASSIGN_OR_RETURN(const LinearNeeds needs, DescribeLinear(spec));
  return needs.scratch_bytes;
}

absl::Status CudaBackend::Run(const LinearArgs& args) {
  const int64_t needed = sizes_.LinearScratchBytes();
  if (args.scratch.bytes < needed || !args.scratch.data.IsMultipleOf(CardSizes::kScratchAlignment)) {
    return absl::InvalidArgumentError(absl::StrCat("Linear: scratch has ", args.scratch.bytes, " bytes, needed: ",
                                                   needed, " aligned to ", CardSizes::kScratchAlignment));
  }
  const int64_t scratch = static_cast<int64_t>(memory::DeviceAddress::Of(args.scratch.data));
  const ProductPointers pointers = {
      .x = PointerTo<const void>(args.x.data),
      .weight = PointerTo<const void>(args.weight.data),
      .bias = PointerTo(args.bias),
      .y = PointerTo<float>(args.y.data),
      .workspace = PointerTo<void>(args.scratch.data + (RoundUp(scratch, kProductWorkspaceAlignment) - scratch))};
  HEADROOM_ASSIGN_OR_RETURN(const bool computed, products_.Run(ShapeOf(args), pointers, lane_.stream()));
  return lane_.Launched("Linear", computed ? cudaSuccess
                                           : LaunchProduct(grid_, In(args.x), In(args.weight), args.weight_is_kn,
                                                           pointers.bias, args.accumulate, Out(args.y)));
}

}  // namespace headroom::runtime::cuda
