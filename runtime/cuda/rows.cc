// Operations that work row by row.
#include "runtime/cuda/cuda_backend.h"
#include "runtime/cuda/kernels/elementwise.h"
#include "runtime/cuda/kernels/gather.h"
#include "runtime/cuda/kernels/kv_cache.h"
#include "runtime/cuda/kernels/norm.h"
#include "runtime/cuda/kernels/positions.h"
#include "runtime/cuda/views.h"

namespace headroom::runtime::cuda {

absl::Status CudaBackend::Run(const LayerNormArgs& args) {
  return lane_.Launched("LayerNorm", LaunchLayerNorm(grid_, In(args.x), PointerTo(args.gain), PointerTo(args.bias),
                                                     args.eps, Out(args.y)));
}

absl::Status CudaBackend::Run(const RmsNormArgs& args) {
  return lane_.Launched("RmsNorm",
                        LaunchRmsNorm(grid_, In(args.x), PointerTo(args.gain), args.eps, args.groups, Out(args.y)));
}

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

absl::Status CudaBackend::Run(const EmbeddingGatherArgs& args) {
  return lane_.Launched("EmbeddingGather",
                        LaunchGather(grid_, PointerTo(args.ids), In(args.table), /*add=*/false, Out(args.y)));
}

absl::Status CudaBackend::Run(const AddGatheredArgs& args) {
  return lane_.Launched("AddGathered",
                        LaunchGather(grid_, PointerTo(args.index), In(args.table), /*add=*/true, Out(args.y)));
}

absl::Status CudaBackend::Run(const SineTableArgs& args) {
  return lane_.Launched("SineTable", LaunchSineTable(grid_, Out(args.table)));
}

absl::Status CudaBackend::Run(const PagedKvWriteArgs& args) {
  const KvRope rope = args.rope.has_value() ? KvRope{.q = PointerTo<float>(args.rope->q.data),
                                                     .q_stride = args.rope->q.row_stride,
                                                     .heads = args.rope->heads,
                                                     .half = args.rope->inv_freq.size,
                                                     .positions = PointerTo(args.rope->positions),
                                                     .inv_freq = PointerTo(args.rope->inv_freq)}
                                            : KvRope{};
  return lane_.Launched("PagedKvWrite",
                        LaunchPagedKvWrite(grid_, In(args.k), In(args.v), PointerTo(args.slots), Layer(args.kv), rope));
}

absl::Status CudaBackend::Run(const CopyKvBlocksArgs& args) {
  static_assert(sizeof(BlockPair) == sizeof(BlockCopy));
  return lane_.Launched("CopyKvBlocks",
                        LaunchCopyKvBlocks(grid_, PointerTo<const BlockPair>(args.copies.data), args.copies.size,
                                           PointerTo<std::byte>(args.pool), args.block_bytes));
}

}  // namespace headroom::runtime::cuda
