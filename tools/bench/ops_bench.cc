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
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "runtime/device.h"
#include "runtime/ops/attention.h"
#include "runtime/ops/elementwise.h"
#include "runtime/ops/linear.h"
#include "runtime/ops/norm.h"
#include "runtime/ops/paged_attention.h"
#include "runtime/ops/rope.h"

namespace headroom::runtime {
namespace {

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "headroom-ops-bench: %s\n", std::string(status.message()).c_str());
  std::exit(1);
}

double Seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<int64_t>(values.size()) / 2, values.end());
  return values[values.size() / 2];
}

// Medians of two pieces of work done in turn, and of their ratio b / a turn by turn.
struct Pair {
  double a, b, ratio;
};
Pair Compare(const std::function<void()>& a, const std::function<void()>& b, int repetitions) {
  a();
  b();
  std::vector<double> times_a, times_b, ratios;
  for (int i = 0; i < repetitions; ++i) {
    times_a.push_back(Seconds(a));
    times_b.push_back(Seconds(b));
    ratios.push_back(times_b.back() / times_a.back());
  }
  return {Median(times_a), Median(times_b), Median(ratios)};
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
  float* F32() { return reinterpret_cast<float*>(data_); }
  BFloat16Bits* BF16() { return reinterpret_cast<BFloat16Bits*>(data_); }
  std::span<std::byte> span(int64_t bytes) { return {data_, static_cast<size_t>(bytes)}; }

 private:
  std::vector<std::byte> memory_;
  std::byte* data_;
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
        weight_(n * k * 2),
        bias_(n * 4),
        has_bias_(bias) {
    const auto bytes = PrepareLinear(
        device, {.n = n, .k = k, .dtype = DType::kBF16, .rows_max = m, .bias = bias, .accumulate = accumulate});
    Require(bytes.status());
    scratch_bytes_ = *bytes;
    scratch_ = std::make_unique<Buffer>(scratch_bytes_ + 64);
  }
  void Run(Buffer& x, Buffer& y) {
    Require(Linear(device_, {.x = Matrix::BF16(x.BF16(), m_, k_),
                             .weight = Matrix::BF16(weight_.BF16(), n_, k_),
                             .bias = has_bias_ ? bias_.F32() : nullptr,
                             .y = Matrix::F32(y.F32(), m_, n_),
                             .accumulate = accumulate_,
                             .scratch = scratch_->span(scratch_bytes_)}));
  }

 private:
  Device& device_;
  const int64_t m_, n_, k_;
  const bool accumulate_;
  Buffer weight_, bias_;
  const bool has_bias_;
  int64_t scratch_bytes_ = 0;
  std::unique_ptr<Buffer> scratch_;
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
  Yardstick bare(m, shape.n, shape.k, x, y);
  OurLinear ours(device, m, shape.n, shape.k, false, false);
  const double flops = 2.0 * static_cast<double>(m) * static_cast<double>(shape.n) * static_cast<double>(shape.k);
  const Pair times = Compare([&] { ours.Run(x, y); }, [&] { bare.Run(); }, flops > 5e10 ? 3 : 7);
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
        x_(rows_ * kWidth * 4),
        normed_(rows_ * kInner * 2),
        wide_(rows_ * kInner * 4),
        gain_(kWidth * 4),
        scratch_(AttentionScratchBytes(kHeadDim, device.threads())) {
    for (int64_t p = 0; p < pieces; ++p) segments_.push_back({p * kPatches, kPatches, p * kPatches, kPatches});
  }

  void Run() {
    Norm();
    qkv_.Run(normed_, wide_);
    RunAttention();
    out_.Run(normed_, x_);
    Norm();
    fc1_.Run(normed_, wide_);
    Require(GeluTanh(device_,
                     {.x = Matrix::F32(wide_.F32(), rows_, kInner), .y = Matrix::BF16(normed_.BF16(), rows_, kInner)}));
    fc2_.Run(normed_, x_);
  }
  void RunAttention() {
    const Matrix qkv = Matrix::F32(wide_.F32(), rows_, 3 * kWidth);
    Require(Attention(device_, {.q = qkv.ColRange(0, kWidth),
                                .k = qkv.ColRange(kWidth, kWidth),
                                .v = qkv.ColRange(2 * kWidth, kWidth),
                                .segments = segments_,
                                .heads = kHeads,
                                .head_dim = kHeadDim,
                                .scale = 0.1178511f,
                                .out = Matrix::BF16(normed_.BF16(), rows_, kWidth),
                                .scratch = scratch_.span(AttentionScratchBytes(kHeadDim, device_.threads()))}));
  }
  int64_t rows() const { return rows_; }

 private:
  void Norm() {
    Require(LayerNorm(device_, {.x = Matrix::F32(x_.F32(), rows_, kWidth),
                                .gain = gain_.F32(),
                                .bias = gain_.F32(),
                                .y = Matrix::BF16(normed_.BF16(), rows_, kWidth)}));
  }

  Device& device_;
  const int64_t rows_;
  OurLinear qkv_, out_, fc1_, fc2_;
  Buffer x_, normed_, wide_, gain_, scratch_;
  std::vector<AttentionSegment> segments_;
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
        x_(rows * kWidth * 4),
        normed_(rows * kInner * 2),
        wide_(rows * 2 * kInner * 4),
        gain_(kWidth * 4),
        cache_(2 * rows * kKvHeads * kHeadDim * 2),
        scratch_(AttentionScratchBytes(kHeadDim, device.threads())),
        inv_freq_(kHeadDim / 2, 0.01f) {
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
    for (int64_t i = 0; i < rows; ++i) {
      positions_.push_back(static_cast<int32_t>(i));
      slots_.push_back(i);
    }
    for (int64_t i = 0; i < kv_.blocks; ++i) blocks_.push_back(static_cast<int32_t>(i));
    sequence_ = {0, rows, rows, blocks_};
  }

  void Run() {
    Norm();
    qkv_.Run(normed_, wide_);
    RunAttention();
    o_.Run(normed_, x_);
    Norm();
    gate_up_.Run(normed_, wide_);
    Require(SiluMul(device_, {.gate_up = Matrix::F32(wide_.F32(), rows_, 2 * kInner),
                              .y = Matrix::BF16(normed_.BF16(), rows_, kInner)}));
    down_.Run(normed_, x_);
  }
  void RunAttention() {
    const Matrix qkv = Matrix::F32(wide_.F32(), rows_, kQkv);
    const Matrix q = qkv.ColRange(0, kWidth);
    const Matrix k = qkv.ColRange(kWidth, kKvHeads * kHeadDim);
    const Matrix v = qkv.ColRange(kWidth + kKvHeads * kHeadDim, kKvHeads * kHeadDim);
    Require(Rope(device_, {.x = q, .positions = positions_, .inv_freq = inv_freq_, .heads = kHeads}));
    Require(Rope(device_, {.x = k, .positions = positions_, .inv_freq = inv_freq_, .heads = kKvHeads}));
    Require(PagedKvWrite(device_, {.k = k, .v = v, .slots = slots_, .kv = kv_}));
    Require(PagedAttention(device_, {.q = q,
                                     .sequences = std::span<const PagedSequence>(&sequence_, 1),
                                     .heads = kHeads,
                                     .kv = kv_,
                                     .scale = 0.0883883f,
                                     .out = Matrix::BF16(normed_.BF16(), rows_, kWidth),
                                     .scratch = scratch_.span(AttentionScratchBytes(kHeadDim, device_.threads()))}));
  }
  int64_t rows() const { return rows_; }

 private:
  void Norm() {
    Require(RmsNorm(device_, {.x = Matrix::F32(x_.F32(), rows_, kWidth),
                              .gain = gain_.F32(),
                              .y = Matrix::BF16(normed_.BF16(), rows_, kWidth)}));
  }

  Device& device_;
  const int64_t rows_;
  OurLinear qkv_, o_, gate_up_, down_;
  Buffer x_, normed_, wide_, gain_, cache_, scratch_;
  std::vector<float> inv_freq_;
  std::vector<int32_t> positions_, blocks_;
  std::vector<int64_t> slots_;
  KvView kv_;
  PagedSequence sequence_;
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
  Buffer x(m * shape.k * 2), y(m * shape.n * 4), plain(shape.n * shape.k * 2);
  OurLinear ours(device, m, shape.n, shape.k, false, false);
  const int64_t words = shape.n * shape.k * 2 / 8;
  const uint64_t* memory = reinterpret_cast<const uint64_t*>(plain.data());
  uint64_t sum = 0;
  const auto read = [&] {
#pragma omp parallel for reduction(+ : sum) num_threads(device.threads())
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
  omp_set_num_threads(device.threads());
  std::printf("isa %s, %d threads\n", IsaName(device.isa()), device.threads());
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
