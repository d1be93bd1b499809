#include <algorithm>
#include <span>
#include <vector>

#include "common/arith.h"
#include "runtime/cpu/cpu_backend.h"
#include "runtime/cpu/flash.h"

namespace headroom::runtime::cpu {
namespace {

// AttentionArgs as the kernels take it.
struct Work {
  ConstView q, k, v;
  std::span<const AttentionSegment> segments;
  int64_t heads, head_dim;
  float scale;
  View out;
  std::byte* scratch;
};

// Query rows per unit: enough units for the team, but enough rows to repay packing the keys for each unit again.
int64_t RowsPerUnit(const Context& context, const Work& args) {
  int64_t rows = kFlashRows;
  const auto units = [&](int64_t per_unit) {
    int64_t n = 0;
    for (const AttentionSegment& s : args.segments) n += CeilDiv(s.q_count, per_unit) * args.heads;
    return n;
  };
  while (rows > kFlashRows / 4 && units(rows) < int64_t{3} * context.threads) rows /= 2;
  return rows;
}

struct Unit {
  const AttentionSegment* segment;
  int64_t head;
  int64_t row;
};

void Attend(const Context& context, const Work& args, const Unit& unit, int64_t rows_per_unit, int thread) {
  const AttentionSegment& s = *unit.segment;
  const int64_t rows = std::min(rows_per_unit, s.q_count - unit.row);
  const int64_t column = unit.head * args.head_dim;
  const bool bf16 = args.out.dtype == DType::kBF16 && context.kernels->gemm_bf16 != nullptr;
  Flash flash(context, bf16, kElementF32, args.head_dim, args.scale, FlashScratch(args.scratch, args.head_dim, thread));
  flash.Start(rows);
  for (int64_t r = 0; r < rows; ++r) {
    flash.SetQuery(r, args.q.F32() + (s.q_begin + unit.row + r) * args.q.row_stride + column);
  }
  for (int64_t key = 0; key < s.k_count; key += kFlashKeys) {
    const int64_t count = std::min(kFlashKeys, s.k_count - key);
    const int64_t first = s.k_begin + key;
    const KeyRun run = {args.k.F32() + first * args.k.row_stride + column,
                        args.v.F32() + first * args.v.row_stride + column, args.k.row_stride, args.v.row_stride, count};
    flash.AddKeys(std::span<const KeyRun>(&run, 1), Visible::All(count));
  }
  const int64_t out_row = (s.out_begin < 0 ? s.q_begin : s.out_begin) + unit.row;
  for (int64_t r = 0; r < rows; ++r) {
    const View out = args.out.RowRange(out_row + r, 1).ColRange(column, args.head_dim);
    flash.Finish(r, out.data, ElementOf(out.dtype));
  }
}

}  // namespace

int64_t CpuBackend::AttentionScratchBytes(int64_t head_dim) const {
  return FlashScratchBytes(head_dim) * context_.threads;
}

absl::Status CpuBackend::Run(const AttentionArgs& given) {
  const Context& context = context_;
  const Work args = {.q = context.host(given.q),
                     .k = context.host(given.k),
                     .v = context.host(given.v),
                     .segments = {context.host.Array(given.segments), static_cast<size_t>(given.segments.size)},
                     .heads = given.heads,
                     .head_dim = given.head_dim,
                     .scale = given.scale,
                     .out = context.host(given.out),
                     .scratch = context.host.Bytes(given.scratch.data)};
  const int64_t rows = RowsPerUnit(context, args);
  // Units are numbered segment by segment, head by head; only where each segment begins is kept.
  const auto chunks = [rows](const AttentionSegment& s) { return CeilDiv(s.q_count, rows); };
  std::vector<int64_t> first_units;
  first_units.reserve(args.segments.size());
  int64_t units = 0;
  for (const AttentionSegment& s : args.segments) {
    first_units.push_back(units);
    units += args.heads * chunks(s);
  }
  const auto unit_at = [&](int64_t index) {
    const auto next = std::upper_bound(first_units.begin(), first_units.end(), index);
    const AttentionSegment& s = args.segments[static_cast<size_t>(next - first_units.begin() - 1)];
    const int64_t within = index - *(next - 1);
    return Unit{&s, within / chunks(s), within % chunks(s) * rows};
  };
  int64_t macs = 0;
  for (const AttentionSegment& s : args.segments) macs += 2 * s.q_count * s.k_count * args.heads * args.head_dim;
  ParallelUnits(context, units, NsForMacs(macs),
                [&](int64_t unit, int thread) { Attend(context, args, unit_at(unit), rows, thread); });
  return absl::OkStatus();
}

}  // namespace headroom::runtime::cpu
