#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <vector>

#include "common/arith.h"
#include "runtime/cpu/cpu_backend.h"
#include "runtime/cpu/flash.h"
#include "runtime/cpu/rotation.h"

namespace headroom::runtime::cpu {
namespace {

// Row of one token of one kv head, at offset `part` (of keys or values) in its block; `pool` is kv.base.
std::byte* TokenRow(std::byte* pool, const KvView& kv, int64_t part, int64_t block, int64_t head, int64_t token) {
  return pool + block * kv.block_bytes + part + (head * kv.block_size + token) * kv.head_dim * SizeOf(kv.dtype);
}

// PagedAttentionArgs as the kernels take it.
struct Work {
  ConstView q;
  std::span<const PagedSequence> sequences;
  const int32_t* block_tables;
  int64_t table_size;
  int64_t heads;
  KvView kv;
  std::byte* pool;
  float scale;
  View out;
  std::byte* scratch;
};

// The query rows of a unit are (token, head of the group) pairs of one kv head, tokens outermost: all of them read the
// same keys.
struct Unit {
  const PagedSequence* sequence;
  const int32_t* table;  // its row of block_tables
  int64_t kv_head;
  int64_t row;
};

// The keys [begin, begin + count) of a sequence, one run per block.
std::span<const KeyRun> RunsOf(const Work& args, const Unit& unit, int64_t begin, int64_t count,
                               KeyRun (&runs)[kFlashKeys]) {
  const KvView& kv = args.kv;
  size_t n = 0;
  for (int64_t token = begin; token < begin + count;) {
    const int64_t offset = token % kv.block_size;
    const int64_t length = std::min(kv.block_size - offset, begin + count - token);
    const int64_t block = unit.table[token / kv.block_size];
    runs[n++] = {TokenRow(args.pool, kv, kv.k_offset, block, unit.kv_head, offset),
                 TokenRow(args.pool, kv, kv.v_offset, block, unit.kv_head, offset), kv.head_dim, kv.head_dim, length};
    token += length;
  }
  return {runs, n};
}

void Attend(const Context& context, const Work& args, const Unit& unit, int64_t rows_per_unit, int thread) {
  const PagedSequence& s = *unit.sequence;
  const int64_t dim = args.kv.head_dim;
  const int64_t group = args.heads / args.kv.kv_heads;
  const int64_t rows = std::min(rows_per_unit, s.q_count * group - unit.row);
  const bool bf16 = args.out.dtype == DType::kBF16 && context.kernels->gemm_bf16 != nullptr;
  Flash flash(context, bf16, ElementOf(args.kv.dtype), dim, args.scale, FlashScratch(args.scratch, dim, thread));
  flash.Start(rows);
  const auto token_of = [&](int64_t r) { return s.q_begin + (unit.row + r) / group; };
  const auto column_of = [&](int64_t r) { return (unit.kv_head * group + (unit.row + r) % group) * dim; };
  for (int64_t r = 0; r < rows; ++r) {
    flash.SetQuery(r, args.q.F32() + token_of(r) * args.q.row_stride + column_of(r));
  }
  // Keys that the first row of the sequence in this step sees; row r of the unit sees (unit.row + r) / group more.
  const int64_t seen_by_first = s.context_len - s.q_count + 1;
  const int64_t keys = seen_by_first + (unit.row + rows - 1) / group;
  KeyRun runs[kFlashKeys];
  for (int64_t key = 0; key < keys; key += kFlashKeys) {
    flash.AddKeys(RunsOf(args, unit, key, std::min(kFlashKeys, keys - key), runs),
                  Visible{seen_by_first - key, unit.row, group});
  }
  for (int64_t r = 0; r < rows; ++r) {
    const View out = args.out.RowRange(token_of(r), 1).ColRange(column_of(r), dim);
    flash.Finish(r, out.data, ElementOf(out.dtype));
  }
}

int64_t RowsPerUnit(const Context& context, const Work& args) {
  const int64_t group = args.heads / args.kv.kv_heads;
  const auto units = [&](int64_t per_unit) {
    int64_t n = 0;
    for (const PagedSequence& s : args.sequences) n += CeilDiv(s.q_count * group, per_unit) * args.kv.kv_heads;
    return n;
  };
  int64_t rows = kFlashRows;
  while (rows > kFlashRows / 4 && units(rows) < int64_t{3} * context.threads) rows /= 2;
  return rows;
}

}  // namespace

absl::Status CpuBackend::Run(const PagedKvWriteArgs& args) {
  const KvView& kv = args.kv;
  const ConstView k = context_.host(args.k), v = context_.host(args.v);
  const int64_t* slots = context_.host.Array(args.slots);
  std::byte* pool = context_.host.Bytes(kv.base);
  const auto convert = context_.kernels->convert[kElementF32][ElementOf(kv.dtype)];
  const RopeArgs rope = args.rope.value_or(RopeArgs{});
  const View q = context_.host(rope.q);
  const int64_t cols = kv.kv_heads * kv.head_dim;
  ParallelRanges(context_, k.rows, NsForElements(k.rows * (2 * cols + q.cols)), [&](int64_t begin, int64_t end) {
    Rotation rotation(context_, rope);
    float turned[kHeadDimMax];
    for (int64_t row = begin; row < end; ++row) {
      if (slots[row] == kNoSlot) continue;
      if (args.rope.has_value()) {
        rotation.Set(row);
        for (int64_t head = 0; head < rope.heads; ++head) {
          rotation.Turn(q.F32() + row * q.row_stride + head * kv.head_dim);
        }
      }
      const int64_t block = slots[row] / kv.block_size;
      const int64_t token = slots[row] % kv.block_size;
      for (int64_t head = 0; head < kv.kv_heads; ++head) {
        const int64_t column = head * kv.head_dim;
        const float* key = k.F32() + row * k.row_stride + column;
        if (args.rope.has_value()) {
          std::copy_n(key, kv.head_dim, turned);
          rotation.Turn(turned);
          key = turned;
        }
        convert(key, TokenRow(pool, kv, kv.k_offset, block, head, token), kv.head_dim);
        convert(v.F32() + row * v.row_stride + column, TokenRow(pool, kv, kv.v_offset, block, head, token),
                kv.head_dim);
      }
    }
  });
  return absl::OkStatus();
}

absl::Status CpuBackend::Run(const CopyKvBlocksArgs& args) {
  const BlockCopy* copies = context_.host.Array(args.copies);
  std::byte* pool = context_.host.Bytes(args.pool);
  const int64_t count = args.copies.size;
  ParallelRanges(context_, count, NsForWeightBytes(2 * count * args.block_bytes), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      std::memcpy(pool + copies[i].to * args.block_bytes, pool + copies[i].from * args.block_bytes,
                  static_cast<size_t>(args.block_bytes));
    }
  });
  return absl::OkStatus();
}

absl::Status CpuBackend::Run(const PagedAttentionArgs& given) {
  const Context& context = context_;
  const Work args = {.q = context.host(given.q),
                     .sequences = {context.host.Array(given.sequences), static_cast<size_t>(given.sequences.size)},
                     .block_tables = context.host.Array(given.block_tables),
                     .table_size = given.table_size,
                     .heads = given.heads,
                     .kv = given.kv,
                     .pool = context.host.Bytes(given.kv.base),
                     .scale = given.scale,
                     .out = context.host(given.out),
                     .scratch = context.host.Bytes(given.scratch.data)};
  const int64_t group = args.heads / args.kv.kv_heads;
  const int64_t rows = RowsPerUnit(context, args);
  // A unit is a chunk of rows for one kv head. 16 bytes a chunk: a step of 2^19 tokens stays below a MiB.
  struct Chunk {
    const PagedSequence* sequence;
    int64_t row;
  };
  size_t count = 0;
  for (const PagedSequence& s : args.sequences) count += static_cast<size_t>(CeilDiv(s.q_count * group, rows));
  std::vector<Chunk> chunks;
  chunks.reserve(count);
  for (const PagedSequence& s : args.sequences) {
    for (int64_t row = 0; row < s.q_count * group; row += rows) chunks.push_back({&s, row});
  }
  // Longest first, so that no thread is left with a long unit at the end.
  std::sort(chunks.begin(), chunks.end(), [&](const Chunk& a, const Chunk& b) {
    const auto keys = [&](const Chunk& c) { return c.sequence->context_len - c.sequence->q_count + c.row / group; };
    return keys(a) > keys(b);
  });
  // Packing the keys costs as much as four rows of products.
  int64_t macs = 0;
  for (const PagedSequence& s : args.sequences) {
    macs += 2 * (s.q_count + 4) * s.context_len * args.heads * args.kv.head_dim;
  }
  const int64_t heads = args.kv.kv_heads;
  ParallelUnits(context, static_cast<int64_t>(count) * heads, NsForMacs(macs), [&](int64_t unit, int thread) {
    const Chunk& chunk = chunks[static_cast<size_t>(unit / heads)];
    const int32_t* table = args.block_tables + (chunk.sequence - args.sequences.data()) * args.table_size;
    Attend(context, args, {chunk.sequence, table, unit % heads, chunk.row}, rows, thread);
  });
  return absl::OkStatus();
}

}  // namespace headroom::runtime::cpu
