#include "runtime/cpu/primitives.h"

#include <omp.h>

#include <map>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "common/compute_thread.h"

namespace headroom::runtime::cpu {
namespace {

struct Primitive {
  dnnl::matmul matmul;
  dnnl::memory::desc x, weight, bias, y, scratch;
};

dnnl::memory::data_type TypeOf(DType dtype) {
  return dtype == DType::kBF16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
}

// What oneDNN would do; compiles nothing. The views that it works on go to `p`.
dnnl::matmul::primitive_desc Describe(const PrimitiveShape& s, const dnnl::engine& engine, Primitive& p) {
  using dnnl::memory;
  p.x = memory::desc({s.rows, s.k}, TypeOf(s.dtype), memory::dims{s.x_row_stride, 1});
  p.y = memory::desc({s.rows, s.n}, memory::data_type::f32, memory::dims{s.y_row_stride, 1});
  // The weights as they lie in the checkpoint: oneDNN copies them tile by tile into its own order while it computes.
  p.weight = memory::desc({s.k, s.n}, TypeOf(s.dtype), s.weight_is_kn ? memory::dims{s.n, 1} : memory::dims{1, s.k});
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (s.accumulate) {
    dnnl::post_ops after;
    after.append_sum(1.0f);
    attributes.set_post_ops(after);
  }
  const auto describe = [&] {
    if (!s.bias) return dnnl::matmul::desc(p.x, p.weight, p.y);
    p.bias = memory::desc({1, s.n}, memory::data_type::f32, memory::format_tag::ab);
    return dnnl::matmul::desc(p.x, p.weight, p.bias, p.y);
  };
  dnnl::matmul::primitive_desc descriptor(describe(), attributes, engine);
  p.scratch = descriptor.scratchpad_desc();
  return descriptor;
}

Primitive Build(const PrimitiveShape& s, const dnnl::engine& engine) {
  Primitive p;
  p.matmul = dnnl::matmul(Describe(s, engine, p));
  return p;
}

absl::Status FromError(const dnnl::error& error) {
  return absl::InternalError(absl::StrCat("oneDNN: ", error.message == nullptr ? "error" : error.message, ", status ",
                                          static_cast<int>(error.status)));
}

}  // namespace

struct Primitives::State {
  explicit State(int threads_in) : threads(threads_in), engine(dnnl::engine::kind::cpu, 0) {}

  // A pointer into a map stays valid while others are added.
  absl::StatusOr<const Primitive*> Find(const PrimitiveShape& shape) {
    {
      const std::shared_lock<std::shared_mutex> lock(mutex);
      const auto found = primitives.find(shape);
      if (found != primitives.end()) return &found->second;
    }
    const std::unique_lock<std::shared_mutex> lock(mutex);
    const auto found = primitives.find(shape);
    if (found != primitives.end()) return &found->second;
    BuiltWhileComputing("a matrix product");
    try {
      return &primitives.emplace(shape, Build(shape, engine)).first->second;
    } catch (const dnnl::error& error) {
      return FromError(error);
    }
  }

  const int threads;
  const dnnl::engine engine;
  std::shared_mutex mutex;
  std::map<PrimitiveShape, Primitive> primitives;
};

Primitives::Primitives(int threads) : state_(std::make_unique<State>(threads)) {}
Primitives::~Primitives() = default;

bool Primitives::Available() { return true; }

absl::Status Primitives::Limit(Isa isa) {
  dnnl::cpu_isa limit = dnnl::cpu_isa::all;
  switch (isa) {
    case Isa::kAvx2:
      limit = dnnl::cpu_isa::avx2;
      break;
    case Isa::kAvx512:
      limit = dnnl::cpu_isa::avx512_core;
      break;
    case Isa::kAvx512Bf16:
      limit = dnnl::cpu_isa::avx512_core_bf16;
      break;
    case Isa::kAmx:
      return absl::OkStatus();
  }
  if (dnnl::set_max_cpu_isa(limit) == dnnl::status::success) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("oneDNN is in use already and cannot be limited to ", IsaName(isa), " any more"));
}

absl::StatusOr<int64_t> Primitives::ScratchBytes(const PrimitiveShape& shape) {
  omp_set_num_threads(state_->threads);
  Primitive primitive;
  try {
    Describe(shape, state_->engine, primitive);
  } catch (const dnnl::error& error) {
    return FromError(error);
  }
  return static_cast<int64_t>(primitive.scratch.get_size());
}

absl::StatusOr<int64_t> Primitives::Prepare(const PrimitiveShape& shape) {
  // oneDNN plans for the team of the thread that builds the primitive.
  omp_set_num_threads(state_->threads);
  HEADROOM_ASSIGN_OR_RETURN(const Primitive* primitive, state_->Find(shape));
  return static_cast<int64_t>(primitive->scratch.get_size());
}

absl::Status Primitives::Run(const PrimitiveShape& shape, const void* x, const void* weight, const float* bias,
                             float* y, std::span<std::byte> scratch) {
  omp_set_num_threads(state_->threads);
  HEADROOM_ASSIGN_OR_RETURN(const Primitive* primitive, state_->Find(shape));
  const size_t needed = primitive->scratch.get_size();
  if (scratch.size() < needed) {
    return absl::InvalidArgumentError(absl::StrCat("Linear: scratch has ", scratch.size(), " bytes, needed: ", needed));
  }
  try {
    // oneDNN's memory objects are views; those of inputs are not written.
    dnnl::stream stream(state_->engine);
    std::unordered_map<int, dnnl::memory> arguments;
    arguments.reserve(5);
    arguments.emplace(DNNL_ARG_SRC, dnnl::memory(primitive->x, state_->engine, const_cast<void*>(x)));
    arguments.emplace(DNNL_ARG_WEIGHTS, dnnl::memory(primitive->weight, state_->engine, const_cast<void*>(weight)));
    arguments.emplace(DNNL_ARG_DST, dnnl::memory(primitive->y, state_->engine, y));
    if (shape.bias) {
      arguments.emplace(DNNL_ARG_BIAS, dnnl::memory(primitive->bias, state_->engine, const_cast<float*>(bias)));
    }
    if (needed > 0) {
      arguments.emplace(DNNL_ARG_SCRATCHPAD, dnnl::memory(primitive->scratch, state_->engine, scratch.data()));
    }
    primitive->matmul.execute(stream, arguments);
    stream.wait();
  } catch (const dnnl::error& error) {
    return FromError(error);
  }
  return absl::OkStatus();
}

}  // namespace headroom::runtime::cpu
