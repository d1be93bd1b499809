// Operations that work row by row.
#include <algorithm>

#include "runtime/cuda/cuda_backend.h"
#include "runtime/cuda/kernels/elementwise.h"
#include "runtime/cuda/kernels/gather.h"
#include "runtime/cuda/kernels/kv_cache.h"
#include "runtime/cuda/kernels/norm.h"
#include "runtime/cuda/kernels/positions.h"
#include "runtime/cuda/kernels/rope.h"
#include "runtime/cuda/views.h"

namespace headroom::runtime::cuda {
namespace {

Turned TurnedOf(const RopeArgs& rope) {
  Turned turned = {.q = PointerTo<float>(rope.q.data),
                   .q_stride = rope.q.row_stride,
                   .heads = static_cast<int>(rope.heads),
                   .head_dim = static_cast<int>(rope.q.cols / rope.heads),
                   .pairs = static_cast<int>(rope.inv_freq.size),
                   .neighbours = rope.neighbours,
                   .axes = static_cast<int>(rope.axes()),
                   .positions = PointerTo(rope.positions),
                   .inv_freq = PointerTo(rope.inv_freq)};
  std::ranges::copy(rope.section_ends(), turned.ends);
  return turned;
}

}  // namespace

absl::Status CudaBackend::Run(const LayerNormArgs& args) {
  return lane_.Launched("LayerNorm", LaunchLayerNorm(grid_, In(args.x), PointerTo(args.gain), PointerTo(args.bias),
                                                     args.eps, Out(args.y)));
}

absl::Status CudaBackend::Run(const RmsNormArgs& args) {
  return lane_.Launched("RmsNorm", LaunchRmsNorm(grid_, In(args.x), PointerTo(args.gain), args.eps, args.groups,
                                                 args.accumulate, Out(args.y)));
}

absl::Status CudaBackend::Run(const GeluTanhArgs& args) {
  return lane_.Launched("GeluTanh", LaunchGeluTanh(grid_, In(args.x), Out(args.y)));
}

absl::Status CudaBackend::Run(const GeluErfArgs& args) {
  return lane_.Launched("GeluErf", LaunchGeluErf(grid_, In(args.x), Out(args.y)));
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
  if (args.weights.size > 0) {
    return lane_.Launched("AddGathered", LaunchAddWeighted(grid_, PointerTo(args.index), PointerTo(args.weights),
                                                           args.taps, In(args.table), Out(args.y)));
  }
  return lane_.Launched("AddGathered",
                        LaunchGather(grid_, PointerTo(args.index), In(args.table), /*add=*/true, Out(args.y)));
}

absl::Status CudaBackend::Run(const JoinRowsArgs& args) {
  return lane_.Launched("JoinRows", LaunchJoinRows(grid_, In(args.x), Out(args.y)));
}

absl::Status CudaBackend::Run(const SineTableArgs& args) {
  return lane_.Launched("SineTable", LaunchSineTable(grid_, Out(args.table)));
}

absl::Status CudaBackend::Run(const RopeArgs& args) {
  return lane_.Launched("Rope", LaunchRope(grid_, args.q.rows, TurnedOf(args)));
}

absl::Status CudaBackend::Run(const PagedKvWriteArgs& args) {
  const Turned rope = args.rope.has_value() ? TurnedOf(*args.rope) : Turned{};
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
