// Operations that work row by row: the rows are dealt out to the team, the kernels do the rest.
#include <cmath>

#include "runtime/cpu/compute.h"

namespace headroom::runtime::cpu {
namespace {

void* RowOf(const Matrix& m, int64_t row) { return static_cast<char*>(m.data) + row * m.row_stride * SizeOf(m.dtype); }
const void* RowOf(const ConstMatrix& m, int64_t row) {
  return static_cast<const char*>(m.data) + row * m.row_stride * SizeOf(m.dtype);
}

// body(row) for every row, in parallel where there is enough to do.
template <typename Body>
void ForRows(const Context& context, int64_t rows, int64_t cols, const Body& body) {
  ParallelRanges(context, rows, NsForElements(rows * cols), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) body(row);
  });
}

}  // namespace

void ComputeLayerNorm(const Context& context, const LayerNormArgs& args) {
  const auto kernel = context.kernels->layer_norm[ElementOf(args.y.dtype)];
  ForRows(context, args.x.rows, args.x.cols, [&](int64_t row) {
    kernel(args.x.F32() + row * args.x.row_stride, args.gain, args.bias, args.eps, RowOf(args.y, row), args.x.cols);
  });
}

void ComputeRmsNorm(const Context& context, const RmsNormArgs& args) {
  const auto kernel = context.kernels->rms_norm[ElementOf(args.y.dtype)];
  ForRows(context, args.x.rows, args.x.cols, [&](int64_t row) {
    kernel(args.x.F32() + row * args.x.row_stride, args.gain, args.eps, RowOf(args.y, row), args.x.cols);
  });
}

void ComputeGeluTanh(const Context& context, const GeluTanhArgs& args) {
  const auto kernel = context.kernels->gelu_tanh[ElementOf(args.y.dtype)];
  ForRows(context, args.x.rows, args.x.cols,
          [&](int64_t row) { kernel(args.x.F32() + row * args.x.row_stride, RowOf(args.y, row), args.x.cols); });
}

void ComputeSiluMul(const Context& context, const SiluMulArgs& args) {
  const auto kernel = context.kernels->silu_mul[ElementOf(args.y.dtype)];
  ForRows(context, args.y.rows, args.y.cols, [&](int64_t row) {
    const float* gate = args.gate_up.F32() + row * args.gate_up.row_stride;
    kernel(gate, gate + args.y.cols, RowOf(args.y, row), args.y.cols);
  });
}

void ComputeConvert(const Context& context, const ConvertArgs& args) {
  const auto kernel = context.kernels->convert[ElementOf(args.x.dtype)][ElementOf(args.y.dtype)];
  ForRows(context, args.x.rows, args.x.cols,
          [&](int64_t row) { kernel(RowOf(args.x, row), RowOf(args.y, row), args.x.cols); });
}

void ComputeEmbeddingGather(const Context& context, const EmbeddingGatherArgs& args) {
  const auto kernel = context.kernels->convert[ElementOf(args.table.dtype)][kElementF32];
  ForRows(context, args.y.rows, args.y.cols, [&](int64_t row) {
    kernel(RowOf(args.table, args.ids[static_cast<size_t>(row)]), RowOf(args.y, row), args.y.cols);
  });
}

void ComputeAddGathered(const Context& context, const AddGatheredArgs& args) {
  const auto kernel = context.kernels->add[ElementOf(args.table.dtype)];
  ForRows(context, args.y.rows, args.y.cols, [&](int64_t row) {
    kernel(RowOf(args.table, args.index[static_cast<size_t>(row)]), args.y.F32() + row * args.y.row_stride,
           args.y.cols);
  });
}

void ComputeRope(const Context& context, const RopeArgs& args) {
  constexpr int64_t kHalfDimMax = 512;  // ops/rope.cc refuses more
  const int64_t half = static_cast<int64_t>(args.inv_freq.size());
  ForRows(context, args.x.rows, args.x.cols, [&](int64_t row) {
    float cos[kHalfDimMax];
    float sin[kHalfDimMax];
    const float position = static_cast<float>(args.positions[static_cast<size_t>(row)]);
    for (int64_t i = 0; i < half; ++i) {
      const float angle = position * args.inv_freq[static_cast<size_t>(i)];
      cos[i] = std::cos(angle);
      sin[i] = std::sin(angle);
    }
    float* x = args.x.F32() + row * args.x.row_stride;
    for (int64_t head = 0; head < args.heads; ++head, x += 2 * half) {
      context.kernels->rotate(x, x + half, cos, sin, half);
    }
  });
}

}  // namespace headroom::runtime::cpu
