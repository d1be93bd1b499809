// headroom-ops-bench: what the operations of runtime/ reach, as ratios inside one run, since the machine is rarely ours
// alone.
//
//   linear  our Linear (weights as in the checkpoint) against oneDNN with the weights in the order it likes best
//   layer   a whole vision layer and a whole decoder layer against oneDNN's time for their matrix products alone
//   decode  one row: bytes of weights per second against a plain read of the same memory
//
// Every figure is the median of interleaved repetitions. Shapes: MiniCPM-V 2.6. Runs for less than a minute on two
// cores.
#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "runtime/cpu/cpu_device.h"
#include "runtime/device.h"
#include "runtime/ops/attention.h"
#include "runtime/ops/elementwise.h"
#include "runtime/ops/linear.h"
#include "runtime/ops/norm.h"
#include "runtime/ops/paged_attention.h"
#include "tools/bench/compare.h"

namespace headroom::runtime {
namespace {

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "headroom-ops-bench: %s\n", std::string(status.message()).c_str());
  std::exit(1);
}

// 64-byte aligned memory of small random-looking values (as bf16 or as f32: exponents near 1).
class Buffer {
 public:
  explicit Buffer(int64_t bytes) : memory_(static_cast<size_t>(bytes) + 64) {
    const uintptr_t address = reinterpret_cast<uintptr_t>(memory_.data());
    data_ = memory_.data() + (64 - address % 64) % 64;
    uint32_t state = 1;
    for (int64_t i = 0; i + 2 <= bytes; i += 2) {
      state = state * 1664525u + 1013904223u;
      const uint16_t value = static_cast<uint16_t>(0x3c00 | (state >> 16 & 0x80ff));
      std::copy_n(reinterpret_cast<const std::byte*>(&value), 2, data_ + i);
    }
  }
  std::byte* data() { return data_; }

 private:
  std::vector<std::byte> memory_;
  std::byte* data_;
};

// The same on the device.
class DeviceBuffer {
 public:
  DeviceBuffer(Device& device, int64_t bytes) : memory_(device.memory()) {
    Buffer values(bytes);
    Write(std::span<const std::byte>(values.data(), static_cast<size_t>(bytes)));
  }
  template <typename T>
  DeviceBuffer(Device& device, const std::vector<T>& values) : memory_(device.memory()) {
    Write(std::as_bytes(std::span(values)));
  }
  ~DeviceBuffer() { memory_.Release(span_); }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  DevicePtr data() const { return span_.data; }
  DeviceSpan span() const { return span_; }
  Matrix F32(int64_t rows, int64_t cols) const { return {span_.data, DType::kF32, rows, cols, cols}; }
  Matrix BF16(int64_t rows, int64_t cols) const { return {span_.data, DType::kBF16, rows, cols, cols}; }
  template <typename T>
  DeviceArray<const T> Array() const {
    return {span_.data, span_.bytes / static_cast<int64_t>(sizeof(T))};
  }

 private:
  void Write(std::span<const std::byte> values) {
    auto reserved = memory_.Reserve(std::max<int64_t>(64, static_cast<int64_t>(values.size())), {});
    Require(reserved.status());
    span_ = {reserved->data, static_cast<int64_t>(values.size())};
    Require(memory_.Write(values, span_.data));
  }

  memory::DeviceMemory& memory_;
  DeviceSpan span_;
};

// oneDNN alone on one product, with the weights already in the order that it asks for.
class Yardstick {
 public:
  Yardstick(int64_t m, int64_t n, int64_t k, Buffer& x, Buffer& y)
      : engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {
    using dnnl::memory;
    const memory::desc x_desc({m, k}, memory::data_type::bf16, memory::format_tag::ab);
    const memory::desc w_desc({k, n}, memory::data_type::bf16, memory::format_tag::any);
    const memory::desc y_desc({m, n}, memory::data_type::f32, memory::format_tag::ab);
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const dnnl::matmul::primitive_desc descriptor(dnnl::matmul::desc(x_desc, w_desc, y_desc), attributes, engine_);
    primitive_ = dnnl::matmul(descriptor);
    weight_ = std::make_unique<Buffer>(static_cast<int64_t>(descriptor.weights_desc().get_size()));
    scratch_ = std::make_unique<Buffer>(static_cast<int64_t>(descriptor.scratchpad_desc().get_size()) + 64);
    arguments_ = {{DNNL_ARG_SRC, memory(x_desc, engine_, x.data())},
                  {DNNL_ARG_WEIGHTS, memory(descriptor.weights_desc(), engine_, weight_->data())},
                  {DNNL_ARG_DST, memory(y_desc, engine_, y.data())},
                  {DNNL_ARG_SCRATCHPAD, memory(descriptor.scratchpad_desc(), engine_, scratch_->data())}};
  }
  void Run() {
    primitive_.execute(stream_, arguments_);
    stream_.wait();
  }

 private:
  dnnl::engine engine_;
  dnnl::stream stream_;
  dnnl::matmul primitive_;
  std::unique_ptr<Buffer> weight_, scratch_;
  std::unordered_map<int, dnnl::memory> arguments_;
};

// One of our products with weights and scratch of its own.
class OurLinear {
 public:
  OurLinear(Device& device, int64_t m, int64_t n, int64_t k, bool bias, bool accumulate)
      : device_(device),
        m_(m),
        n_(n),
        k_(k),
        accumulate_(accumulate),
        has_bias_(bias),
        weight_(device, n * k * 2),
        bias_(device, n * 4) {
    const auto bytes = PrepareLinear(
        device, {.n = n, .k = k, .dtype = DType::kBF16, .rows_max = m, .bias = bias, .accumulate = accumulate});
    Require(bytes.status());
    scratch_ = std::make_unique<DeviceBuffer>(device, *bytes);
  }
  void Run(const DeviceBuffer& x, const DeviceBuffer& y) {
    Require(Linear(device_, {.x = x.BF16(m_, k_),
                             .weight = weight_.BF16(n_, k_),
                             .bias = has_bias_ ? bias_.Array<float>() : DeviceArray<const float>(),
                             .y = y.F32(m_, n_),
                             .accumulate = accumulate_,
                             .scratch = scratch_->span()}));
    Require(device_.Wait());
  }

 private:
  Device& device_;
  const int64_t m_, n_, k_;
  const bool accumulate_, has_bias_;
  DeviceBuffer weight_, bias_;
  std::unique_ptr<DeviceBuffer> scratch_;
};

struct Shape {
  const char* name;
  int64_t n, k;
};

constexpr Shape kDecoderShapes[] = {
    {"qkv", 4608, 3584}, {"o", 3584, 3584}, {"gate_up", 37888, 3584}, {"down", 3584, 18944}};
constexpr Shape kVisionShapes[] = {{"qkv", 3456, 1152}, {"out", 1152, 1152}, {"fc1", 4304, 1152}, {"fc2", 1152, 4304}};

void CompareLinear(Device& device, const char* part, const Shape& shape, int64_t m) {
  Buffer x(m * shape.k * 2), y(m * shape.n * 4);
  const DeviceBuffer our_x(device, m * shape.k * 2), our_y(device, m * shape.n * 4);
  Yardstick bare(m, shape.n, shape.k, x, y);
  OurLinear ours(device, m, shape.n, shape.k, false, false);
  const double flops = 2.0 * static_cast<double>(m) * static_cast<double>(shape.n) * static_cast<double>(shape.k);
  const Pair times = Compare([&] { ours.Run(our_x, our_y); }, [&] { bare.Run(); }, flops > 5e10 ? 3 : 7);
  std::printf("linear  %-8s %-8s M=%-5ld N=%-6ld K=%-6ld  ours %6.1f  oneDNN %6.1f GFLOP/s   ratio %.2f\n", part,
              shape.name, static_cast<long>(m), static_cast<long>(shape.n), static_cast<long>(shape.k),
              flops / times.a * 1e-9, flops / times.b * 1e-9, times.ratio);
  std::fflush(stdout);
}

// x += out(attention(LN(x))); x += fc2(gelu(fc1(LN(x)))) over pieces of 1024 patches.
class VisionLayer {
 public:
  static constexpr int64_t kHeads = 16, kHeadDim = 72, kWidth = kHeads * kHeadDim, kInner = 4304, kPatches = 1024;

  VisionLayer(Device& device, int64_t pieces)
      : device_(device),
        rows_(pieces * kPatches),
        qkv_(device, rows_, 3 * kWidth, kWidth, true, false),
        out_(device, rows_, kWidth, kWidth, true, true),
        fc1_(device, rows_, kInner, kWidth, true, false),
        fc2_(device, rows_, kWidth, kInner, true, true),
        x_(device, rows_ * kWidth * 4),
        normed_(device, rows_ * kInner * 2),
        wide_(device, rows_ * kInner * 4),
        gain_(device, kWidth * 4),
        scratch_(device, AttentionScratchBytes(device, kHeadDim)),
        segments_(device, Segments(pieces)) {}

  void Run() {
    Norm();
    qkv_.Run(normed_, wide_);
    RunAttention();
    out_.Run(normed_, x_);
    Norm();
    fc1_.Run(normed_, wide_);
    Require(GeluTanh(device_, {.x = wide_.F32(rows_, kInner), .y = normed_.BF16(rows_, kInner)}));
    fc2_.Run(normed_, x_);
  }
  void RunAttention() {
    const Matrix qkv = wide_.F32(rows_, 3 * kWidth);
    Require(Attention(device_, {.q = qkv.ColRange(0, kWidth),
                                .k = qkv.ColRange(kWidth, kWidth),
                                .v = qkv.ColRange(2 * kWidth, kWidth),
                                .segments = segments_.Array<AttentionSegment>(),
                                .heads = kHeads,
                                .head_dim = kHeadDim,
                                .scale = 0.1178511f,
                                .out = normed_.BF16(rows_, kWidth),
                                .scratch = scratch_.span()}));
    Require(device_.Wait());
  }
  int64_t rows() const { return rows_; }

 private:
  static std::vector<AttentionSegment> Segments(int64_t pieces) {
    std::vector<AttentionSegment> segments;
    for (int64_t p = 0; p < pieces; ++p) segments.push_back({p * kPatches, kPatches, p * kPatches, kPatches});
    return segments;
  }
  void Norm() {
    Require(LayerNorm(device_, {.x = x_.F32(rows_, kWidth),
                                .gain = gain_.Array<float>(),
                                .bias = gain_.Array<float>(),
                                .y = normed_.BF16(rows_, kWidth)}));
  }

  Device& device_;
  const int64_t rows_;
  OurLinear qkv_, out_, fc1_, fc2_;
  DeviceBuffer x_, normed_, wide_, gain_, scratch_, segments_;
};

// One prefill step of one sequence through a Qwen2-7B layer.
class DecoderLayer {
 public:
  static constexpr int64_t kHeads = 28, kKvHeads = 4, kHeadDim = 128, kWidth = 3584, kInner = 18944, kBlock = 16;
  static constexpr int64_t kQkv = (kHeads + 2 * kKvHeads) * kHeadDim;

  DecoderLayer(Device& device, int64_t rows)
      : device_(device),
        rows_(rows),
        qkv_(device, rows, kQkv, kWidth, true, false),
        o_(device, rows, kWidth, kWidth, false, true),
        gate_up_(device, rows, 2 * kInner, kWidth, false, false),
        down_(device, rows, kWidth, kInner, false, true),
        x_(device, rows * kWidth * 4),
        normed_(device, rows * kInner * 2),
        wide_(device, rows * 2 * kInner * 4),
        gain_(device, kWidth * 4),
        cache_(device, 2 * rows * kKvHeads * kHeadDim * 2),
        scratch_(device, AttentionScratchBytes(device, kHeadDim)),
        inv_freq_(device, std::vector<float>(kHeadDim / 2, 0.01f)),
        positions_(device, UpTo<int32_t>(rows)),
        slots_(device, UpTo<int64_t>(rows)),
        blocks_(device, UpTo<int32_t>(rows / kBlock)),
        sequence_(device, std::vector<PagedSequence>{{0, rows, rows}}) {
    const int64_t part = kKvHeads * kBlock * kHeadDim * 2;
    kv_ = {.base = cache_.data(),
           .block_bytes = 2 * part,
           .k_offset = 0,
           .v_offset = part,
           .dtype = DType::kBF16,
           .blocks = rows / kBlock,
           .kv_heads = kKvHeads,
           .head_dim = kHeadDim,
           .block_size = kBlock};
  }

  void Run() {
    Norm();
    qkv_.Run(normed_, wide_);
    RunAttention();
    o_.Run(normed_, x_);
    Norm();
    gate_up_.Run(normed_, wide_);
    Require(SiluMul(device_, {.gate_up = wide_.F32(rows_, 2 * kInner), .y = normed_.BF16(rows_, kInner)}));
    down_.Run(normed_, x_);
  }
  void RunAttention() {
    const Matrix qkv = wide_.F32(rows_, kQkv);
    const Matrix q = qkv.ColRange(0, kWidth);
    const Matrix k = qkv.ColRange(kWidth, kKvHeads * kHeadDim);
    const Matrix v = qkv.ColRange(kWidth + kKvHeads * kHeadDim, kKvHeads * kHeadDim);
    Require(PagedKvWrite(device_, {.k = k,
                                   .v = v,
                                   .slots = slots_.Array<int64_t>(),
                                   .kv = kv_,
                                   .rope = RopeArgs{.q = q,
                                                    .heads = kHeads,
                                                    .positions = positions_.Array<int32_t>(),
                                                    .inv_freq = inv_freq_.Array<float>()}}));
    Require(PagedAttention(device_, {.q = q,
                                     .sequences = sequence_.Array<PagedSequence>(),
                                     .block_tables = blocks_.Array<int32_t>(),
                                     .table_size = kv_.blocks,
                                     .heads = kHeads,
                                     .kv = kv_,
                                     .scale = 0.0883883f,
                                     .out = normed_.BF16(rows_, kWidth),
                                     .scratch = scratch_.span()}));
    Require(device_.Wait());
  }
  int64_t rows() const { return rows_; }

 private:
  template <typename T>
  static std::vector<T> UpTo(int64_t count) {
    std::vector<T> numbers;
    for (int64_t i = 0; i < count; ++i) numbers.push_back(static_cast<T>(i));
    return numbers;
  }
  void Norm() {
    Require(
        RmsNorm(device_, {.x = x_.F32(rows_, kWidth), .gain = gain_.Array<float>(), .y = normed_.BF16(rows_, kWidth)}));
  }

  Device& device_;
  const int64_t rows_;
  OurLinear qkv_, o_, gate_up_, down_;
  DeviceBuffer x_, normed_, wide_, gain_, cache_, scratch_, inv_freq_, positions_, slots_, blocks_, sequence_;
  KvView kv_;
};

template <typename Layer>
void CompareLayer(Layer& layer, const char* name, std::span<const Shape> shapes, int repetitions) {
  int64_t k_max = 0, n_max = 0;
  for (const Shape& s : shapes) {
    k_max = std::max(k_max, s.k);
    n_max = std::max(n_max, s.n);
  }
  Buffer x(layer.rows() * k_max * 2), y(layer.rows() * n_max * 4);
  std::vector<std::unique_ptr<Yardstick>> bare;
  for (const Shape& s : shapes) bare.push_back(std::make_unique<Yardstick>(layer.rows(), s.n, s.k, x, y));
  const auto products = [&] {
    for (const auto& product : bare) product->Run();
  };
  const Pair whole = Compare([&] { layer.Run(); }, products, repetitions);
  const double attention = Median({Seconds([&] { layer.RunAttention(); }), Seconds([&] { layer.RunAttention(); }),
                                   Seconds([&] { layer.RunAttention(); })});
  std::printf(
      "layer   %-8s rows %-5ld  whole %7.1f ms (attention %6.1f)  oneDNN products alone %7.1f ms   ratio %.2f\n", name,
      static_cast<long>(layer.rows()), whole.a * 1e3, attention * 1e3, whole.b * 1e3, whole.ratio);
  std::fflush(stdout);
}

void CompareDecode(Device& device, const Shape& shape, int64_t m) {
  const DeviceBuffer x(device, m * shape.k * 2), y(device, m * shape.n * 4);
  Buffer plain(shape.n * shape.k * 2);
  OurLinear ours(device, m, shape.n, shape.k, false, false);
  const int64_t words = shape.n * shape.k * 2 / 8;
  const uint64_t* memory = reinterpret_cast<const uint64_t*>(plain.data());
  uint64_t sum = 0;
  const int threads = cpu::CpuDevice::Of(device).threads();
  const auto read = [&] {
#pragma omp parallel for reduction(+ : sum) num_threads(threads)
    for (int64_t i = 0; i < words; i += 8) {
      sum += memory[i] + memory[i + 1] + memory[i + 2] + memory[i + 3] + memory[i + 4] + memory[i + 5] + memory[i + 6] +
             memory[i + 7];
    }
  };
  const Pair times = Compare([&] { ours.Run(x, y); }, read, 7);
  const double gigabytes = static_cast<double>(shape.n * shape.k * 2) * 1e-9;
  std::printf("decode  %-8s M=%-2ld %6.1f MB  ours %6.1f GB/s  plain read %6.1f GB/s   ratio %.2f%s\n", shape.name,
              static_cast<long>(m), gigabytes * 1e3, gigabytes / times.a, gigabytes / times.b, times.ratio,
              sum == 1 ? "." : "");
  std::fflush(stdout);
}

int Main() {
  auto created = Device::Create({});
  Require(created.status());
  Device& device = **created;
  omp_set_num_threads(cpu::CpuDevice::Of(device).threads());
  std::printf("%s\n", device.Describe().c_str());
  for (const Shape& shape : kVisionShapes) CompareLinear(device, "vision", shape, 1024);
  CompareLinear(device, "vision", kVisionShapes[0], 4096);
  for (const Shape& shape : kDecoderShapes) {
    // gate_up stands for itself at half its width, to keep the run short.
    CompareLinear(device, "decoder", {shape.name, std::min<int64_t>(shape.n, 18944), shape.k}, 512);
  }
  CompareLinear(device, "decoder", kDecoderShapes[0], 1024);
  CompareLinear(device, "decoder", kDecoderShapes[1], 1024);
  {
    VisionLayer layer(device, 1);
    CompareLayer(layer, "vision", kVisionShapes, 5);
  }
  {
    VisionLayer layer(device, 4);
    CompareLayer(layer, "vision", kVisionShapes, 2);
  }
  {
    DecoderLayer layer(device, 512);
    CompareLayer(layer, "decoder", kDecoderShapes, 2);
  }
  for (const int64_t m : {1, 4, 8}) CompareDecode(device, {"gate_up", 18944, 3584}, m);
  CompareDecode(device, {"o", 3584, 3584}, 1);
  return 0;
}

}  // namespace
}  // namespace headroom::runtime

int main(int, char** argv) {
  headroom::runtime::PrepareProcess(argv);
  return headroom::runtime::Main();
}
