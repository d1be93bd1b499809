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
  if (!kv.base) return ArgumentError(op, "cache has no data");
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

absl::Status CheckSequence(const PagedSequence& s, std::span<const int32_t> table, int64_t rows, const KvView& kv) {
  if (s.q_begin < 0 || s.q_count < 0 || s.q_begin > rows - s.q_count || s.context_len < s.q_count) {
    return absl::InvalidArgumentError(absl::StrCat("sequence of ", s.q_count, " rows from ", s.q_begin,
                                                   " with context ", s.context_len, " does not fit ", rows, " rows"));
  }
  const int64_t needed = s.context_len / kv.block_size + (s.context_len % kv.block_size != 0 ? 1 : 0);
  if (static_cast<int64_t>(table.size()) < needed) {
    return absl::InvalidArgumentError(absl::StrCat("context ", s.context_len, " needs ", needed, " blocks of ",
                                                   kv.block_size, ", got ", table.size()));
  }
  for (const int32_t block : table.first(static_cast<size_t>(needed))) {
    if (block >= 0 && block < kv.blocks) continue;
    return absl::InvalidArgumentError(absl::StrCat("block ", block, " is outside the pool of ", kv.blocks));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckSlots(std::span<const int64_t> slots, const KvView& kv) {
  const int64_t count = kv.blocks * kv.block_size;
  for (const int64_t slot : slots) {
    if (slot >= 0 && slot < count) continue;
    return absl::InvalidArgumentError(absl::StrCat("slot ", slot, " is outside the pool of ", count));
  }
  return absl::OkStatus();
}

absl::Status CheckCopies(std::span<const BlockCopy> copies, const KvView& kv) {
  for (const BlockCopy& copy : copies) {
    for (const int32_t block : {copy.from, copy.to}) {
      if (block >= 0 && block < kv.blocks) continue;
      return absl::InvalidArgumentError(absl::StrCat("copy of block ", block, ", outside the pool of ", kv.blocks));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckSequences(std::span<const PagedSequence> sequences, std::span<const int32_t> block_tables,
                            int64_t table_size, int64_t rows, const KvView& kv) {
  const auto tables = static_cast<int64_t>(block_tables.size());
  if (table_size < 1 || tables / table_size < static_cast<int64_t>(sequences.size())) {
    return absl::InvalidArgumentError(
        absl::StrCat(sequences.size(), " sequences have block tables of ", tables, " / ", table_size));
  }
  for (size_t i = 0; i < sequences.size(); ++i) {
    const auto size = static_cast<size_t>(table_size);
    HEADROOM_RETURN_IF_ERROR(CheckSequence(sequences[i], block_tables.subspan(i * size, size), rows, kv));
  }
  return absl::OkStatus();
}

absl::Status PagedKvWrite(Device& device, const PagedKvWriteArgs& args) {
  constexpr char kOp[] = "PagedKvWrite";
  HEADROOM_RETURN_IF_ERROR(CheckView(kOp, "k", args.k, {DType::kF32}));
  HEADROOM_RETURN_IF_ERROR(CheckView(kOp, "v", args.v, {DType::kF32}));
  HEADROOM_RETURN_IF_ERROR(CheckKv(kOp, args.kv));
  for (const ConstMatrix* m : {&args.k, &args.v}) {
    HEADROOM_RETURN_IF_ERROR(CheckEqual(kOp, "columns", m->cols, args.kv.kv_heads * args.kv.head_dim));
    HEADROOM_RETURN_IF_ERROR(CheckArray(kOp, "slots", args.slots, m->rows));
  }
  if (args.rope.has_value()) HEADROOM_RETURN_IF_ERROR(CheckRope(kOp, *args.rope, args.k.rows, args.kv.head_dim));
  return device.backend().Run(args);
}

absl::Status CopyKvBlocks(Device& device, const CopyKvBlocksArgs& args) {
  constexpr char kOp[] = "CopyKvBlocks";
  if (!args.pool || args.block_bytes < 1) {
    return ArgumentError(kOp, absl::StrCat("no pool, or blocks of ", args.block_bytes, " bytes"));
  }
  HEADROOM_RETURN_IF_ERROR(CheckArray(kOp, "copies", args.copies, args.copies.size));
  return device.backend().Run(args);
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
  HEADROOM_RETURN_IF_ERROR(CheckArray(kOp, "sequences", args.sequences, args.sequences.size));
  HEADROOM_RETURN_IF_ERROR(CheckArray(kOp, "block_tables", args.block_tables, args.sequences.size * args.table_size));
  HEADROOM_RETURN_IF_ERROR(CheckScratch(kOp, args.scratch, AttentionScratchBytes(device, args.kv.head_dim)));
  return device.backend().Run(args);
}

}  // namespace headroom::runtime
