// Operations that work row by row: the rows are dealt out to the team, the kernels do the rest.
#include <algorithm>
#include <cmath>
#include <cstddef>

#include "runtime/cpu/cpu_backend.h"
#include "runtime/cpu/rotation.h"

namespace headroom::runtime::cpu {
namespace {

// body(row) for every row, in parallel where there is enough to do.
template <typename Body>
absl::Status ForRows(const Context& context, int64_t rows, int64_t cols, const Body& body) {
  ParallelRanges(context, rows, NsForElements(rows * cols), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) body(row);
  });
  return absl::OkStatus();
}

const float* F32Row(const ConstView& m, int64_t row) { return m.F32() + row * m.row_stride; }
float* F32Row(const View& m, int64_t row) { return m.F32() + row * m.row_stride; }

}  // namespace

absl::Status CpuBackend::Run(const LayerNormArgs& args) {
  const auto kernel = context_.kernels->layer_norm[ElementOf(args.y.dtype)];
  const ConstView x = context_.host(args.x);
  const View y = context_.host(args.y);
  const float *gain = context_.host.Array(args.gain), *bias = context_.host.Array(args.bias);
  return ForRows(context_, x.rows, x.cols,
                 [&](int64_t row) { kernel(F32Row(x, row), gain, bias, args.eps, y.Row(row), x.cols); });
}

absl::Status CpuBackend::Run(const RmsNormArgs& args) {
  const auto kernel = context_.kernels->rms_norm[ElementOf(args.y.dtype)];
  const ConstView x = context_.host(args.x);
  const View y = context_.host(args.y);
  const float* gain = context_.host.Array(args.gain);
  const int64_t width = x.cols / args.groups, width_bytes = width * SizeOf(args.y.dtype);
  return ForRows(context_, x.rows, x.cols, [&](int64_t row) {
    const float* from = F32Row(x, row);
    auto* to = static_cast<std::byte*>(y.Row(row));
    for (int64_t i = 0; i < args.groups; ++i) {
      kernel(from + i * width, gain, args.eps, args.accumulate, to + i * width_bytes, width);
    }
  });
}

absl::Status CpuBackend::Run(const GeluTanhArgs& args) {
  const auto kernel = context_.kernels->gelu_tanh[ElementOf(args.y.dtype)];
  const ConstView x = context_.host(args.x);
  const View y = context_.host(args.y);
  return ForRows(context_, x.rows, x.cols, [&](int64_t row) { kernel(F32Row(x, row), y.Row(row), x.cols); });
}

absl::Status CpuBackend::Run(const GeluErfArgs& args) {
  const auto kernel = context_.kernels->gelu_erf[ElementOf(args.y.dtype)];
  const ConstView x = context_.host(args.x);
  const View y = context_.host(args.y);
  return ForRows(context_, x.rows, x.cols, [&](int64_t row) { kernel(F32Row(x, row), y.Row(row), x.cols); });
}

absl::Status CpuBackend::Run(const SiluMulArgs& args) {
  const auto kernel = context_.kernels->silu_mul[ElementOf(args.y.dtype)];
  const ConstView gate_up = context_.host(args.gate_up);
  const View y = context_.host(args.y);
  return ForRows(context_, y.rows, y.cols, [&](int64_t row) {
    const float* gate = F32Row(gate_up, row);
    kernel(gate, gate + y.cols, y.Row(row), y.cols);
  });
}

absl::Status CpuBackend::Run(const ConvertArgs& args) {
  const auto kernel = context_.kernels->convert[ElementOf(args.x.dtype)][ElementOf(args.y.dtype)];
  const ConstView x = context_.host(args.x);
  const View y = context_.host(args.y);
  return ForRows(context_, x.rows, x.cols, [&](int64_t row) { kernel(x.Row(row), y.Row(row), x.cols); });
}

absl::Status CpuBackend::Run(const FindNonFiniteArgs& args) {
  const ConstView x = context_.host(args.x);
  int32_t* found = context_.host.Array(args.found);
  const int64_t groups = args.found.size;
  ParallelRanges(context_, groups, NsForElements(x.rows * x.cols), [&](int64_t begin, int64_t end) {
    for (int64_t group = begin; group < end; ++group) {
      found[group] = 0;
      for (int64_t row = group * args.group; row < (group + 1) * args.group; ++row) {
        const float* values = F32Row(x, row);
        // 0 · x is 0 for every finite x and NaN for all others, and so is a sum that meets one.
        float sum = 0;
        for (int64_t c = 0; c < x.cols; ++c) sum += 0.0f * values[c];
        if (sum != 0.0f) found[group] = 1;
      }
    }
  });
  return absl::OkStatus();
}

absl::Status CpuBackend::Run(const EmbeddingGatherArgs& args) {
  const auto kernel = context_.kernels->convert[ElementOf(args.table.dtype)][kElementF32];
  const ConstView table = context_.host(args.table);
  const View y = context_.host(args.y);
  const int32_t* ids = context_.host.Array(args.ids);
  return ForRows(context_, y.rows, y.cols, [&](int64_t row) { kernel(table.Row(ids[row]), y.Row(row), y.cols); });
}

absl::Status CpuBackend::Run(const AddGatheredArgs& args) {
  const auto kernel = context_.kernels->add[ElementOf(args.table.dtype)];
  const ConstView table = context_.host(args.table);
  const View y = context_.host(args.y);
  const int32_t* index = context_.host.Array(args.index);
  if (args.weights.size > 0) {
    const auto add_scaled = context_.kernels->add_scaled[ElementOf(args.table.dtype)];
    const float* weights = context_.host.Array(args.weights);
    return ForRows(context_, y.rows, y.cols * args.taps, [&](int64_t row) {
      for (int64_t i = row * args.taps; i < (row + 1) * args.taps; ++i) {
        add_scaled(table.Row(index[i]), weights[i], F32Row(y, row), y.cols);
      }
    });
  }
  return ForRows(context_, y.rows, y.cols, [&](int64_t row) { kernel(table.Row(index[row]), F32Row(y, row), y.cols); });
}

absl::Status CpuBackend::Run(const JoinRowsArgs& args) {
  const auto convert = context_.kernels->convert[kElementF32][ElementOf(args.y.dtype)];
  const ConstView x = context_.host(args.x);
  const View y = context_.host(args.y);
  const int64_t group = y.cols / x.cols, element = SizeOf(args.y.dtype);
  return ForRows(context_, y.rows, y.cols, [&](int64_t row) {
    constexpr int64_t kPart = 512;
    float joined[kPart];
    for (int64_t begin = 0; begin < y.cols; begin += kPart) {
      const int64_t count = std::min(kPart, y.cols - begin);
      for (int64_t i = 0; i < count; ++i) {
        joined[i] = F32Row(x, row * group + (begin + i) % group)[(begin + i) / group];
      }
      convert(joined, static_cast<std::byte*>(y.Row(row)) + begin * element, count);
    }
  });
}

absl::Status CpuBackend::Run(const RopeArgs& args) {
  const View q = context_.host(args.q);
  const int64_t head_dim = q.cols / args.heads;
  ParallelRanges(context_, q.rows, NsForElements(q.rows * q.cols), [&](int64_t begin, int64_t end) {
    Rotation rotation(context_, args);
    for (int64_t row = begin; row < end; ++row) {
      rotation.Set(row);
      for (int64_t head = 0; head < args.heads; ++head) rotation.Turn(F32Row(q, row) + head * head_dim);
    }
  });
  return absl::OkStatus();
}

absl::Status CpuBackend::Run(const SineTableArgs& args) {
  const View table = context_.host(args.table);
  const int64_t half = table.cols / 2;
  for (int64_t k = 0; k < half; ++k) {
    const float frequency = 1.0f / std::pow(10000.0f, static_cast<float>(k) / static_cast<float>(half));
    for (int64_t c = 0; c < table.rows; ++c) {
      const float angle = static_cast<float>(c) * frequency;
      F32Row(table, c)[k] = std::sin(angle);
      F32Row(table, c)[half + k] = std::cos(angle);
    }
  }
  return absl::OkStatus();
}

}  // namespace headroom::runtime::cpu
