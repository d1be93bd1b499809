#include "runtime/ops/paged_attention.h"

#include <cmath>

#include "runtime/backend.h"
#include "runtime/ops/check.h"

namespace headroom::runtime {
namespace {

absl::Status CheckKv(const char* op, const KvView& kv) {
  HEADROOM_RETURN_IF_ERROR(CheckHeads(op, kv.kv_heads, kv.head_dim));
  if (kv.dtype != DType::kF32 && kv.dtype != DType::kBF16) {
    return ArgumentError(op, absl::StrCat("cache has dtype ", DTypeName(kv.dtype)));
  }
  if (kv.base == nullptr) return ArgumentError(op, "cache has no data");
  if (kv.block_size < 1 || kv.block_size > kExtentMax || kv.blocks < 1 || kv.blocks > kExtentMax) {
    return ArgumentError(op, absl::StrCat("cache of ", kv.blocks, " blocks of ", kv.block_size, " tokens"));
  }
  // At most 2^24 · 2^9 · 2^28 · 4 bytes: no overflow.
  const int64_t part = kv.kv_heads * kv.head_dim * kv.block_size * SizeOf(kv.dtype);
  if (kv.k_offset < 0 || kv.v_offset < 0 || kv.block_bytes < part || kv.k_offset > kv.block_bytes - part ||
      kv.v_offset > kv.block_bytes - part) {
    return ArgumentError(op, absl::StrCat("keys at ", kv.k_offset, " and values at ", kv.v_offset, " of ", part,
                                          " bytes each do not fit a block of ", kv.block_bytes));
  }
  return absl::OkStatus();
}

absl::Status CheckSequence(const char* op, const PagedSequence& s, const PagedAttentionArgs& args) {
  if (s.q_begin < 0 || s.q_count < 0 || s.q_begin > args.q.rows - s.q_count || s.context_len < s.q_count) {
    return ArgumentError(op, absl::StrCat("sequence of ", s.q_count, " rows from ", s.q_begin, " with context ",
                                          s.context_len, " does not fit ", args.q.rows, " rows"));
  }
  const int64_t size = args.kv.block_size;
  const int64_t needed = s.context_len / size + (s.context_len % size != 0 ? 1 : 0);
  if (static_cast<int64_t>(s.blocks.size()) < needed) {
    return ArgumentError(
        op, absl::StrCat("context ", s.context_len, " needs ", needed, " blocks of ", size, ", got ", s.blocks.size()));
  }
  for (const int32_t block : s.blocks.first(static_cast<size_t>(needed))) {
    if (block < 0 || block >= args.kv.blocks) {
      return ArgumentError(op, absl::StrCat("block ", block, " is outside the pool of ", args.kv.blocks));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status PagedKvWrite(Device& device, const PagedKvWriteArgs& args) {
  constexpr char kOp[] = "PagedKvWrite";
  HEADROOM_RETURN_IF_ERROR(CheckView(kOp, "k", args.k, {DType::kF32}));
  HEADROOM_RETURN_IF_ERROR(CheckView(kOp, "v", args.v, {DType::kF32}));
  HEADROOM_RETURN_IF_ERROR(CheckKv(kOp, args.kv));
  for (const ConstMatrix* m : {&args.k, &args.v}) {
    HEADROOM_RETURN_IF_ERROR(CheckEqual(kOp, "columns", m->cols, args.kv.kv_heads * args.kv.head_dim));
    HEADROOM_RETURN_IF_ERROR(CheckEqual(kOp, "rows", m->rows, static_cast<int64_t>(args.slots.size())));
  }
  const int64_t slots = args.kv.blocks * args.kv.block_size;
  for (const int64_t slot : args.slots) {
    if (slot < 0 || slot >= slots) {
      return ArgumentError(kOp, absl::StrCat("slot ", slot, " is outside the pool of ", slots));
    }
  }
  return device.backend().PagedKvWrite(args);
}

absl::Status CopyKvBlocks(Device& device, const CopyKvBlocksArgs& args) {
  constexpr char kOp[] = "CopyKvBlocks";
  if (args.pool == nullptr || args.block_bytes < 1 || args.blocks < 1 || args.blocks > kExtentMax) {
    return ArgumentError(kOp, absl::StrCat("pool of ", args.blocks, " blocks of ", args.block_bytes, " bytes"));
  }
  for (const BlockCopy& copy : args.copies) {
    for (const int32_t block : {copy.from, copy.to}) {
      if (block >= 0 && block < args.blocks) continue;
      return ArgumentError(kOp, absl::StrCat("block ", block, " is outside the pool of ", args.blocks));
    }
  }
  return device.backend().CopyKvBlocks(args);
}

absl::Status PagedAttention(Device& device, const PagedAttentionArgs& args) {
  constexpr char kOp[] = "PagedAttention";
  HEADROOM_RETURN_IF_ERROR(CheckView(kOp, "q", args.q, {DType::kF32}));
  HEADROOM_RETURN_IF_ERROR(CheckView(kOp, "out", args.out, {DType::kF32, DType::kBF16}));
  HEADROOM_RETURN_IF_ERROR(CheckKv(kOp, args.kv));
  HEADROOM_RETURN_IF_ERROR(CheckHeads(kOp, args.heads, args.kv.head_dim));
  if (args.heads % args.kv.kv_heads != 0) {
    return ArgumentError(kOp, absl::StrCat(args.heads, " heads are no multiple of ", args.kv.kv_heads, " kv heads"));
  }
  HEADROOM_RETURN_IF_ERROR(CheckEqual(kOp, "columns of q", args.q.cols, args.heads * args.kv.head_dim));
  HEADROOM_RETURN_IF_ERROR(CheckEqual(kOp, "columns of out", args.out.cols, args.q.cols));
  HEADROOM_RETURN_IF_ERROR(CheckEqual(kOp, "rows of out", args.out.rows, args.q.rows));
  if (!std::isfinite(args.scale)) return ArgumentError(kOp, absl::StrCat("scale is ", args.scale));
  for (const PagedSequence& sequence : args.sequences) {
    HEADROOM_RETURN_IF_ERROR(CheckSequence(kOp, sequence, args));
  }
  HEADROOM_RETURN_IF_ERROR(CheckScratch(kOp, args.scratch, AttentionScratchBytes(args.kv.head_dim, device.threads())));
  return device.backend().PagedAttention(args);
}

}  // namespace headroom::runtime
