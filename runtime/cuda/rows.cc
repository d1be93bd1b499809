// Operations that work row by row.
#include "runtime/cuda/cuda_backend.h"
#include "runtime/cuda/kernels/elementwise.h"
#include "runtime/cuda/views.h"

namespace headroom::runtime::cuda {

absl::Status CudaBackend::Run(const GeluTanhArgs& args) {
  return lane_.Launched("GeluTanh", LaunchGeluTanh(grid_, In(args.x), Out(args.y)));
}

absl::Status CudaBackend::Run(const SiluMulArgs& args) {
  const ConstMatrix gate = args.gate_up.ColRange(0, args.y.cols);
  const ConstMatrix up = args.gate_up.ColRange(args.y.cols, args.y.cols);
  return lane_.Launched("SiluMul", LaunchSiluMul(grid_, In(gate), In(up), Out(args.y)));
}

absl::Status CudaBackend::Run(const ConvertArgs& args) {
  return lane_.Launched("Convert", LaunchConvert(grid_, In(args.x), Out(args.y)));
}

absl::Status CudaBackend::Run(const FindNonFiniteArgs& args) {
  return lane_.Launched("FindNonFinite", LaunchFindNonFinite(grid_, In(args.x), args.group, PointerTo(args.found)));
}

}  // namespace headroom::runtime::cuda
