// Attention, dense and paged: which kernel takes it.
#include "runtime/cuda/kernels/attention.h"

#include <algorithm>

#include "runtime/cuda/cuda_backend.h"
#include "runtime/cuda/cuda_memory.h"

namespace headroom::runtime::cuda {
namespace {

static_assert(sizeof(DenseSegment) == sizeof(AttentionSegment) && sizeof(CachedSequence) == sizeof(PagedSequence));

constexpr int64_t kAccessBytes = 16;  // of one thread, at best

// Whether every row, and in it every head of such a size, begins at a multiple of 16 bytes.
bool IsAligned(const ConstMatrix& m, int64_t head_dim) {
  const int64_t element = SizeOf(m.dtype);
  return reinterpret_cast<uintptr_t>(PointerTo<const void>(m.data)) % kAccessBytes == 0 &&
         m.row_stride * element % kAccessBytes == 0 && head_dim * element % kAccessBytes == 0;
}
bool IsAligned(const KvView& kv) {
  return reinterpret_cast<uintptr_t>(PointerTo<const void>(kv.base)) % kAccessBytes == 0 &&
         kv.block_bytes % kAccessBytes == 0 && kv.k_offset % kAccessBytes == 0 && kv.v_offset % kAccessBytes == 0 &&
         kv.head_dim * SizeOf(kv.dtype) % kAccessBytes == 0;
}

}  // namespace

int64_t CudaBackend::AttentionScratchBytes(int64_t head_dim) const { return sizes_.AttentionScratchBytes(head_dim); }

absl::Status CudaBackend::Run(const AttentionArgs& args) {
  const DenseAttention dense = {
      .q = PointerTo<const float>(args.q.data),
      .k = PointerTo<const float>(args.k.data),
      .v = PointerTo<const float>(args.v.data),
      .q_stride = args.q.row_stride,
      .k_stride = args.k.row_stride,
      .v_stride = args.v.row_stride,
      .segments = PointerTo<const DenseSegment>(args.segments.data),
      .segment_count = static_cast<int>(args.segments.size),
      .heads = static_cast<int>(args.heads),
      .head_dim = static_cast<int>(args.head_dim),
      .scale = args.scale,
      .out = PointerTo<void>(args.out.data),
      .out_stride = args.out.row_stride,
      .out_rows = args.out.rows,
      .out_is_bf16 = args.out.dtype == DType::kBF16,
      .inputs_aligned =
          IsAligned(args.q, args.head_dim) && IsAligned(args.k, args.head_dim) && IsAligned(args.v, args.head_dim),
      .out_aligned = IsAligned(args.out, args.head_dim),
  };
  const bool tensor = dense.out_is_bf16 && HasTensorKernel(dense.head_dim);
  return lane_.Launched("Attention",
                        tensor ? LaunchFlashAttention(dense, grid_.stream) : LaunchPlainAttention(dense, grid_.stream));
}

absl::Status CudaBackend::Run(const PagedAttentionArgs& args) {
  const KvView& kv = args.kv;
  const int64_t group = args.heads / kv.kv_heads;
  const PagedAttention paged = {
      .q = PointerTo<const float>(args.q.data),
      .q_stride = args.q.row_stride,
      .q_rows = args.q.rows,
      .sequences = PointerTo<const CachedSequence>(args.sequences.data),
      .sequence_count = static_cast<int>(args.sequences.size),
      .block_tables = PointerTo<const int32_t>(args.block_tables.data),
      .table_size = args.table_size,
      .keys = PointerTo<const std::byte>(kv.base) + kv.k_offset,
      .value_offset = kv.v_offset - kv.k_offset,
      .block_bytes = kv.block_bytes,
      .block_size = static_cast<int>(kv.block_size),
      .heads = static_cast<int>(args.heads),
      .kv_heads = static_cast<int>(kv.kv_heads),
      .head_dim = static_cast<int>(kv.head_dim),
      .scale = args.scale,
      .out = PointerTo<void>(args.out.data),
      .out_stride = args.out.row_stride,
      .cache_is_bf16 = kv.dtype == DType::kBF16,
      .out_is_bf16 = args.out.dtype == DType::kBF16,
      .inputs_aligned = IsAligned(args.q, kv.head_dim),
      .out_aligned = IsAligned(args.out, kv.head_dim),
      // No more rows than sequences: a step that decodes, whatever few of them have two rows.
      .decoded_max = args.q.rows <= args.sequences.size ? args.q.rows : std::max<int64_t>(1, kDecodedRowsMax / group),
      .decode_blocks = kDecodeBlocks * grid_.multiprocessors,
      .scratch = PointerTo<float>(args.scratch.data),
  };
  if (!paged.out_is_bf16 || !paged.cache_is_bf16 || !HasTensorKernel(paged.head_dim) || !IsAligned(kv)) {
    return lane_.Launched("PagedAttention", LaunchPlainAttention(paged, grid_.stream));
  }
  if (paged.decoded_max < paged.q_rows) {
    HEADROOM_RETURN_IF_ERROR(lane_.Launched("PagedAttention, prefill", LaunchFlashAttention(paged, grid_.stream)));
  }
  if (args.q_count_min > paged.decoded_max) return absl::OkStatus();
  return lane_.Launched("PagedAttention, decode", LaunchDecodeAttention(paged, grid_.stream));
}

}  // namespace headroom::runtime::cuda
