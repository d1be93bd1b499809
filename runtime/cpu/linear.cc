#include <algorithm>
#include <cstring>
#include <span>

#include "common/arith.h"
#include "runtime/cpu/cpu_backend.h"
#include "runtime/cpu/cpu_device.h"
#include "runtime/row_bucket.h"

namespace headroom::runtime::cpu {
namespace {

static_assert(kGemvRowsMax <= kRowsOfTheirOwn);

// LinearArgs as the kernels take it.
struct HostLinear {
  ConstView x, weight;
  const float* bias;
  View y;
  bool accumulate, weight_is_kn;
  std::span<std::byte> scratch;
};

HostLinear OnHost(const Context& context, const LinearArgs& args) {
  return {.x = context.host(args.x),
          .weight = context.host(args.weight),
          .bias = context.host.Array(args.bias),
          .y = context.host(args.y),
          .accumulate = args.accumulate,
          .weight_is_kn = args.weight_is_kn,
          .scratch = {context.host.Bytes(args.scratch.data), static_cast<size_t>(args.scratch.bytes)}};
}

// Own product for any M: W goes tile by tile through a cache-sized f32 copy.
constexpr int64_t kTileN = 64;
constexpr int64_t kTileK = 256;
constexpr int64_t kTileM = 48;
constexpr int64_t kBlockM = 6 * kTileM;  // rows of y that stay in a cache while the products of a tile are added up
constexpr int64_t kTiledFloats = 2 * kTileN * kTileK + kTileM * kTileK + kTileM * kTileN;
static_assert(kTileN % kColumnQuantum == 0 && kTileK % 8 == 0);

int64_t TiledScratchBytes(const Context& context) {
  return kTiledFloats * static_cast<int64_t>(sizeof(float)) * context.threads;
}

// Which way a product goes.
enum class Path { kGemv, kTiled, kOneDnn };

Path PathFor(const Context& context, int64_t rows, DType dtype, bool weight_is_kn) {
  if (rows <= kGemvRowsMax && !weight_is_kn) return Path::kGemv;
  if (!Primitives::Available()) return Path::kTiled;
  // Below AVX-512 oneDNN has no bf16, and its f32 product takes buffers of its own at every call, outside of any plan.
  // Below AVX512-BF16 it emulates bf16 at half the speed of widening (README.md has the figures).
  const Isa needed = dtype == DType::kBF16 ? Isa::kAvx512Bf16 : Isa::kAvx512;
  return context.isa >= needed ? Path::kOneDnn : Path::kTiled;
}

int64_t OutputsOf(const HostLinear& args) { return args.y.cols; }

void Gemv(const Context& context, const HostLinear& args) {
  // Rows of W go to threads as they become free: where a core is shared or slow, the others do not wait for it.
  constexpr int64_t kPartBytesMin = 65536;
  constexpr int64_t kPartsPerThread = 8;
  const int64_t n = OutputsOf(args);
  const int64_t k = args.x.cols;
  const auto kernel = context.kernels->gemv[ElementOf(args.x.dtype)];
  const int64_t parts_max = std::min<int64_t>(n, kPartsPerThread * context.threads);
  const int64_t bytes = n * k * SizeOf(args.weight.dtype);
  const int64_t parts = std::clamp<int64_t>(bytes / kPartBytesMin, 1, parts_max);
  // More rows of x cost arithmetic, about as much as reading again for every three of them.
  const int64_t nanoseconds = NsForWeightBytes(bytes + bytes * (args.x.rows - 1) / 3);
  ParallelUnits(context, parts, nanoseconds, [&](int64_t part, int) {
    const int64_t begin = n * part / parts;
    const ConstView w = args.weight.RowRange(begin, n * (part + 1) / parts - begin);
    kernel(w.data, w.row_stride, w.rows, k, args.x.data, args.x.row_stride, args.x.rows,
           args.bias == nullptr ? nullptr : args.bias + begin, args.accumulate, args.y.F32() + begin,
           args.y.row_stride);
  });
}

// One thread's scratch of the tiled product.
struct TiledScratch {
  explicit TiledScratch(float* base)
      : rows(base), packed(rows + kTileN * kTileK), x(packed + kTileN * kTileK), y(x + kTileM * kTileK) {}
  float* rows;    // [kTileN][kTileK], W as stored
  float* packed;  // [kTileK][kTileN]
  float* x;       // [kTileM][kTileK]
  float* y;       // [kTileM][kTileN]
};

// packed[k][kTileN] = W[n0 …, k0 …]ᵀ in f32, columns from `cols` on zero.
void PackWeights(const Context& context, const HostLinear& args, int64_t n0, int64_t cols, int64_t k0, int64_t depth,
                 const TiledScratch& scratch) {
  const auto widen = context.kernels->convert[ElementOf(args.weight.dtype)][kElementF32];
  const ConstView w = args.weight;
  if (args.weight_is_kn) {
    for (int64_t k = 0; k < depth; ++k) {
      widen(w.RowRange(k0 + k, 1).ColRange(n0, cols).data, scratch.packed + k * kTileN, cols);
      std::fill(scratch.packed + k * kTileN + cols, scratch.packed + (k + 1) * kTileN, 0.0f);
    }
    return;
  }
  const int64_t depth_padded = (depth + 7) / 8 * 8;
  for (int64_t j = 0; j < kTileN; ++j) {
    float* row = scratch.rows + j * kTileK;
    const int64_t valid = j < cols ? depth : 0;
    if (valid > 0) widen(w.RowRange(n0 + j, 1).ColRange(k0, depth).data, row, depth);
    std::fill(row + valid, row + depth_padded, 0.0f);
  }
  context.kernels->transpose(reinterpret_cast<const uint32_t*>(scratch.rows), kTileK, kTileN, depth_padded,
                             reinterpret_cast<uint32_t*>(scratch.packed), kTileN);
}

// y[m0 …][n0 …] += x[m0 …][k0 …] · packed for `rows` rows.
void MultiplyTile(const Context& context, const HostLinear& args, int64_t m0, int64_t rows, int64_t n0, int64_t cols,
                  int64_t k0, int64_t depth, const TiledScratch& scratch) {
  const Kernels& kernels = *context.kernels;
  const float* x = args.x.F32() + m0 * args.x.row_stride + k0;
  int64_t x_stride = args.x.row_stride;
  if (args.x.dtype == DType::kBF16) {
    for (int64_t r = 0; r < rows; ++r) {
      kernels.convert[kElementBf16][kElementF32](args.x.RowRange(m0 + r, 1).ColRange(k0, depth).data,
                                                 scratch.x + r * kTileK, depth);
    }
    x = scratch.x;
    x_stride = kTileK;
  }
  float* y = args.y.F32() + m0 * args.y.row_stride + n0;
  if (cols == kTileN) {
    kernels.gemm_f32(rows, kTileN, depth, x, x_stride, scratch.packed, kTileN, true, y, args.y.row_stride);
    return;
  }
  kernels.gemm_f32(rows, kTileN, depth, x, x_stride, scratch.packed, kTileN, false, scratch.y, kTileN);
  for (int64_t r = 0; r < rows; ++r) {
    kernels.add[kElementF32](scratch.y + r * kTileN, y + r * args.y.row_stride, cols);
  }
}

// y = bias, 0, y + bias or y: what the tiles are added to.
void StartTile(const Context& context, const HostLinear& args, int64_t m0, int64_t rows, int64_t n0, int64_t cols) {
  for (int64_t r = m0; r < m0 + rows; ++r) {
    float* y = args.y.F32() + r * args.y.row_stride + n0;
    if (!args.accumulate) std::fill(y, y + cols, 0.0f);
    if (args.bias != nullptr) context.kernels->add[kElementF32](args.bias + n0, y, cols);
  }
}

absl::Status Tiled(const Context& context, const HostLinear& args) {
  const int64_t needed = TiledScratchBytes(context);
  if (static_cast<int64_t>(args.scratch.size()) < needed) {
    return absl::InvalidArgumentError(
        absl::StrCat("Linear: scratch has ", args.scratch.size(), " bytes, needed: ", needed));
  }
  float* const scratch_base = reinterpret_cast<float*>(args.scratch.data());
  const int64_t n = OutputsOf(args);
  const int64_t k = args.x.cols;
  const int64_t tiles = CeilDiv(n, kTileN);
  const int64_t blocks = CeilDiv(args.x.rows, kBlockM);
  // All tiles of one block of rows first: those rows of x stay in the last-level cache while W streams by.
  ParallelUnits(context, tiles * blocks, NsForMacs(args.x.rows * n * k), [&](int64_t unit, int thread) {
    const TiledScratch scratch(scratch_base + kTiledFloats * thread);
    const int64_t n0 = unit % tiles * kTileN;
    const int64_t cols = std::min(kTileN, n - n0);
    const int64_t begin = unit / tiles * kBlockM;
    const int64_t end = std::min(args.x.rows, begin + kBlockM);
    StartTile(context, args, begin, end - begin, n0, cols);
    for (int64_t k0 = 0; k0 < k; k0 += kTileK) {
      const int64_t depth = std::min(kTileK, k - k0);
      PackWeights(context, args, n0, cols, k0, depth, scratch);
      for (int64_t m0 = begin; m0 < end; m0 += kTileM) {
        MultiplyTile(context, args, m0, std::min(kTileM, end - m0), n0, cols, k0, depth, scratch);
      }
    }
  });
  return absl::OkStatus();
}

// Asks `scratch_of` for every product that oneDNN computes for the spec.
template <typename ScratchOf>
absl::StatusOr<LinearNeeds> VisitPrimitives(const Context& context, const LinearSpec& spec,
                                            const ScratchOf& scratch_of) {
  LinearNeeds needs;
  for (int64_t rows = 1; rows <= RowBucket(spec.rows_max); rows = RowBucket(rows + 1)) {
    const Path path = PathFor(context, rows, spec.dtype, spec.weight_is_kn);
    if (path == Path::kTiled) needs.scratch_bytes = std::max(needs.scratch_bytes, TiledScratchBytes(context));
    if (path != Path::kOneDnn) continue;
    HEADROOM_ASSIGN_OR_RETURN(const int64_t bytes, scratch_of(PrimitiveShape{.rows = rows,
                                                                             .n = spec.n,
                                                                             .k = spec.k,
                                                                             .x_row_stride = spec.x_row_stride,
                                                                             .y_row_stride = spec.y_row_stride,
                                                                             .dtype = spec.dtype,
                                                                             .bias = spec.bias,
                                                                             .accumulate = spec.accumulate,
                                                                             .weight_is_kn = spec.weight_is_kn}));
    needs.scratch_bytes = std::max(needs.scratch_bytes, bytes);
    needs.library_bytes += kPrimitiveBytes;
  }
  return needs;
}

}  // namespace

int64_t CpuBackend::LinearRows(int64_t rows) const { return RowBucket(rows); }

absl::Status CpuBackend::Run(const LinearArgs& args) {
  const HostLinear linear = OnHost(context_, args);
  switch (PathFor(context_, args.x.rows, args.x.dtype, args.weight_is_kn)) {
    case Path::kGemv:
      Gemv(context_, linear);
      return absl::OkStatus();
    case Path::kTiled:
      return Tiled(context_, linear);
    case Path::kOneDnn:
      break;
  }
  const PrimitiveShape shape = {.rows = RowBucket(args.x.rows),
                                .n = args.y.cols,
                                .k = args.x.cols,
                                .x_row_stride = args.x.row_stride,
                                .y_row_stride = args.y.row_stride,
                                .dtype = args.x.dtype,
                                .bias = linear.bias != nullptr,
                                .accumulate = args.accumulate,
                                .weight_is_kn = args.weight_is_kn};
  return primitives_.Run(shape, linear.x.data, linear.weight.data, linear.bias, linear.y.F32(), linear.scratch);
}

absl::StatusOr<int64_t> CpuBackend::PrepareLinear(const LinearSpec& spec) {
  HEADROOM_ASSIGN_OR_RETURN(const LinearNeeds needs, VisitPrimitives(context_, spec, [&](const PrimitiveShape& shape) {
                              return primitives_.Prepare(shape);
                            }));
  return needs.scratch_bytes;
}

absl::StatusOr<LinearNeeds> CpuBackend::DescribeLinear(const LinearSpec& spec) {
  return VisitPrimitives(context_, spec, [&](const PrimitiveShape& shape) { return primitives_.ScratchBytes(shape); });
}

}  // namespace headroom::runtime::cpu
