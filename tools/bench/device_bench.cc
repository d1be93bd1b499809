// headroom-device-bench: how long a device takes for the operations of MiniCPM-V 2.6, beside the time below which
// nothing could do them: the larger of bytes / bandwidth and arithmetic / peak of the device, as given.
//
//   headroom-device-bench --device cuda --gigabytes-per-second 4800 --teraflops 989
//
// Times are of many calls between two waits, so a launch's own time hides behind the one before it. --shrink divides
// every length, to see that it runs where a real size would take for ever (an emulated card). JSON, one line an
// operation.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/flags.h"
#include "runtime/device.h"
#include "runtime/ops/attention.h"
#include "runtime/ops/elementwise.h"
#include "runtime/ops/linear.h"
#include "runtime/ops/norm.h"
#include "runtime/ops/paged_attention.h"

namespace headroom::runtime {
namespace {

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "headroom-device-bench: %s\n", std::string(status.message()).c_str());
  std::exit(1);
}

// Memory of one case, of values near 1 in either format: zeros would cost a card less power, and so less time.
class Memory {
 public:
  explicit Memory(Device& device) : memory_(device.memory()) {
    uint32_t state = 1;
    for (uint16_t& value : pattern_) {
      state = state * 1664525u + 1013904223u;
      value = static_cast<uint16_t>(0x3c00 | (state >> 16 & 0x80ff));
    }
  }
  ~Memory() {
    for (const DeviceSpan& span : spans_) memory_.Release(span);
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  DeviceSpan Take(int64_t bytes) {
    const auto reserved = memory_.Reserve(std::max<int64_t>(bytes, 64), {});
    Require(reserved.status());
    spans_.push_back(*reserved);
    return *reserved;
  }
  DeviceSpan Values(int64_t bytes) {
    const DeviceSpan span = Take(bytes);
    const auto pattern = std::as_bytes(std::span(pattern_));
    for (int64_t done = 0; done < bytes; done += static_cast<int64_t>(pattern.size())) {
      const auto part = std::min(static_cast<int64_t>(pattern.size()), bytes - done);
      Require(memory_.Write(pattern.first(static_cast<size_t>(part)), span.data + done));
    }
    return span;
  }
  Matrix Rows(DType dtype, int64_t rows, int64_t cols) {
    return {Values(rows * cols * SizeOf(dtype)).data, dtype, rows, cols, cols};
  }
  template <typename T>
  DeviceArray<const T> Array(const std::vector<T>& values) {
    const DeviceSpan span = Take(static_cast<int64_t>(values.size() * sizeof(T)));
    Require(memory_.Write(std::as_bytes(std::span(values)), span.data));
    return {span.data, static_cast<int64_t>(values.size())};
  }
  DeviceArray<const float> Floats(int64_t count) { return {Values(4 * count).data, count}; }

 private:
  memory::DeviceMemory& memory_;
  std::vector<uint16_t> pattern_ = std::vector<uint16_t>(size_t{1} << 21);
  std::vector<DeviceSpan> spans_;
};

struct Work {
  double bytes = 0;  // read and written, each once
  double flops = 0;
  std::function<absl::Status()> run;
};

Work LinearWork(Device& device, Memory& memory, int64_t m, int64_t n, int64_t k) {
  const LinearSpec spec{.n = n, .k = k, .dtype = DType::kBF16, .rows_max = m};
  const auto scratch_bytes = PrepareLinear(device, spec);
  Require(scratch_bytes.status());
  const int64_t rows = LinearRows(device, m);
  const ConstMatrix x = memory.Rows(DType::kBF16, rows, k).RowRange(0, m), weight = memory.Rows(DType::kBF16, n, k);
  const Matrix y = memory.Rows(DType::kF32, rows, n).RowRange(0, m);
  const DeviceSpan scratch = memory.Take(*scratch_bytes);
  const double bytes = 2.0 * n * k + 2.0 * m * k + 4.0 * m * n;
  return {bytes, 2.0 * m * n * k,
          [=, &device] { return Linear(device, {.x = x, .weight = weight, .y = y, .scratch = scratch}); }};
}

Work PagedWork(Device& device, Memory& memory, int64_t sequences, int64_t queries, int64_t context) {
  constexpr int64_t kHeads = 28, kKvHeads = 4, kHeadDim = 128, kBlock = 16;
  const int64_t table = (context + kBlock - 1) / kBlock, head_bytes = kBlock * kHeadDim * SizeOf(DType::kBF16);
  KvView kv{.block_bytes = 2 * kKvHeads * head_bytes,
            .v_offset = kKvHeads * head_bytes,
            .dtype = DType::kBF16,
            .blocks = sequences * table,
            .kv_heads = kKvHeads,
            .head_dim = kHeadDim,
            .block_size = kBlock};
  kv.base = memory.Values(kv.blocks * kv.block_bytes).data;
  std::vector<PagedSequence> rows;
  std::vector<int32_t> tables;
  for (int64_t s = 0; s < sequences; ++s) {
    rows.push_back({.q_begin = s * queries, .q_count = queries, .context_len = context});
    for (int64_t b = 0; b < table; ++b) tables.push_back(static_cast<int32_t>(s * table + b));
  }
  const Matrix q = memory.Rows(DType::kF32, sequences * queries, kHeads * kHeadDim);
  const Matrix out = memory.Rows(DType::kBF16, sequences * queries, kHeads * kHeadDim);
  const PagedAttentionArgs args{.q = q,
                                .sequences = memory.Array(rows),
                                .block_tables = memory.Array(tables),
                                .table_size = table,
                                .heads = kHeads,
                                .kv = kv,
                                .scale = 0.088f,
                                .out = out,
                                .scratch = memory.Take(AttentionScratchBytes(device, kHeadDim))};
  // Of a prompt's queries each sees half of the keys on average.
  const double pairs = static_cast<double>(queries) * (queries == 1 ? context : context - queries / 2);
  const double bytes = sequences * (2.0 * 2 * kKvHeads * kHeadDim * context + 6.0 * queries * kHeads * kHeadDim);
  return {bytes, 4.0 * sequences * kHeads * kHeadDim * pairs, [args, &device] { return PagedAttention(device, args); }};
}

Work VisionAttentionWork(Device& device, Memory& memory, int64_t patches) {
  constexpr int64_t kHeads = 16, kHeadDim = 72, kWidth = kHeads * kHeadDim;
  const Matrix qkv = memory.Rows(DType::kF32, patches, 3 * kWidth);
  const AttentionArgs args{.q = qkv.ColRange(0, kWidth),
                           .k = qkv.ColRange(kWidth, kWidth),
                           .v = qkv.ColRange(2 * kWidth, kWidth),
                           .segments = memory.Array(std::vector<AttentionSegment>{
                               {.q_begin = 0, .q_count = patches, .k_begin = 0, .k_count = patches}}),
                           .heads = kHeads,
                           .head_dim = kHeadDim,
                           .scale = 0.118f,
                           .out = memory.Rows(DType::kBF16, patches, kWidth),
                           .scratch = memory.Take(AttentionScratchBytes(device, kHeadDim))};
  return {14.0 * patches * kWidth, 4.0 * kWidth * patches * patches,
          [args, &device] { return Attention(device, args); }};
}

Work NormWork(Device& device, Memory& memory, int64_t rows, int64_t width) {
  const RmsNormArgs args{.x = memory.Rows(DType::kF32, rows, width),
                         .gain = memory.Floats(width),
                         .eps = 1e-6f,
                         .y = memory.Rows(DType::kBF16, rows, width)};
  return {6.0 * rows * width, 4.0 * rows * width, [args, &device] { return RmsNorm(device, args); }};
}

Work SiluWork(Device& device, Memory& memory, int64_t rows, int64_t width) {
  const SiluMulArgs args{.gate_up = memory.Rows(DType::kF32, rows, 2 * width),
                         .y = memory.Rows(DType::kBF16, rows, width)};
  return {10.0 * rows * width, 5.0 * rows * width, [args, &device] { return SiluMul(device, args); }};
}

// Queries and keys turn, keys and values go to the cache.
Work KvWriteWork(Device& device, Memory& memory, int64_t rows) {
  constexpr int64_t kHeads = 28, kKvHeads = 4, kHeadDim = 128, kBlock = 16;
  const int64_t blocks = (rows + kBlock - 1) / kBlock, part = kKvHeads * kBlock * kHeadDim * SizeOf(DType::kBF16);
  std::vector<int64_t> slots;
  for (int64_t i = 0; i < rows; ++i) slots.push_back(i);
  const Matrix qkv = memory.Rows(DType::kF32, rows, (kHeads + 2 * kKvHeads) * kHeadDim);
  const PagedKvWriteArgs args{
      .k = qkv.ColRange(kHeads * kHeadDim, kKvHeads * kHeadDim),
      .v = qkv.ColRange((kHeads + kKvHeads) * kHeadDim, kKvHeads * kHeadDim),
      .slots = memory.Array(slots),
      .kv = {.base = memory.Take(blocks * 2 * part).data,
             .block_bytes = 2 * part,
             .v_offset = part,
             .dtype = DType::kBF16,
             .blocks = blocks,
             .kv_heads = kKvHeads,
             .head_dim = kHeadDim,
             .block_size = kBlock},
      .rope = RopeArgs{.q = qkv.ColRange(0, kHeads * kHeadDim),
                       .heads = kHeads,
                       .positions = memory.Array(std::vector<int32_t>(static_cast<size_t>(rows), 7)),
                       .inv_freq = memory.Floats(kHeadDim / 2)}};
  return {rows * kHeadDim * (8.0 * kHeads + 12.0 * kKvHeads), 6.0 * rows * (kHeads + kKvHeads) * kHeadDim,
          [args, &device] { return PagedKvWrite(device, args); }};
}

struct Case {
  std::string name;
  std::function<Work(Device& device, Memory& memory)> make;
};

// `shrink` divides lengths, down to 8.
std::vector<Case> Cases(int64_t shrink) {
  const auto n = [shrink](int64_t length) { return length == 1 ? 1 : std::max<int64_t>(8, length / shrink / 8 * 8); };
  std::vector<Case> cases;
  const struct {
    const char* name;
    int64_t n, k;
  } products[] = {{"qkv", 4608, 3584},     {"o", 3584, 3584},          {"gate_up", 37888, 3584},  {"down", 3584, 18944},
                  {"head", 151'666, 3584}, {"vision_qkv", 3456, 1152}, {"vision_mlp", 4304, 1152}};
  for (const int64_t m : {1, 32, 256, 2048}) {
    for (const auto& p : products) {
      cases.push_back({absl::StrCat("linear ", p.name, " M=", m), [=](Device& device, Memory& memory) {
                         return LinearWork(device, memory, n(m), n(p.n), n(p.k));
                       }});
    }
  }
  for (const int64_t sequences : {1, 32}) {
    cases.push_back({absl::StrCat("decode attention B=", sequences, " T=4096"),
                     [=](Device& device, Memory& memory) { return PagedWork(device, memory, sequences, 1, n(4096)); }});
  }
  for (const int64_t tokens : {2048, 4096}) {
    cases.push_back({absl::StrCat("prefill attention T=", tokens), [=](Device& device, Memory& memory) {
                       return PagedWork(device, memory, 1, n(tokens), n(tokens));
                     }});
  }
  cases.push_back({"vision attention P=1024",
                   [=](Device& device, Memory& memory) { return VisionAttentionWork(device, memory, n(1024)); }});
  for (const int64_t rows : {32, 2048}) {
    cases.push_back({absl::StrCat("rms norm M=", rows),
                     [=](Device& device, Memory& memory) { return NormWork(device, memory, n(rows), n(3584)); }});
    cases.push_back({absl::StrCat("silu mul M=", rows),
                     [=](Device& device, Memory& memory) { return SiluWork(device, memory, n(rows), n(18944)); }});
    cases.push_back({absl::StrCat("rope and kv write M=", rows),
                     [=](Device& device, Memory& memory) { return KvWriteWork(device, memory, n(rows)); }});
  }
  return cases;
}

double SecondsOf(Device& device, const Work& work, int64_t calls) {
  const auto begin = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < calls; ++i) Require(work.run());
  Require(device.Wait());
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// The median of five runs of as many calls as take `patience_s` together.
double SecondsOfOne(Device& device, const Work& work, double patience_s) {
  constexpr int kRuns = 5;
  const double first = SecondsOf(device, work, 1);
  const auto calls = std::clamp<int64_t>(static_cast<int64_t>(patience_s / kRuns / std::max(first, 1e-7)), 1, 10'000);
  std::vector<double> seconds;
  for (int i = 0; i < kRuns; ++i) seconds.push_back(SecondsOf(device, work, calls) / static_cast<double>(calls));
  std::sort(seconds.begin(), seconds.end());
  return seconds[kRuns / 2];
}

int Run(const std::vector<std::string>& arguments) {
  std::string kind = "cpu", only;
  std::optional<double> gigabytes, teraflops, patience_s;
  std::optional<int64_t> shrink;
  Flags flags("headroom-device-bench [flags]", "Times of MiniCPM-V 2.6's operations on a device, as JSON lines.");
  flags.Text("device", &kind, "cpu or cuda");
  flags.OptionalNumber("gigabytes-per-second", &gigabytes, "bandwidth of the device's memory");
  flags.OptionalNumber("teraflops", &teraflops, "peak of bf16 products");
  flags.OptionalNumber("seconds", &patience_s, "of each operation (default 0.25)");
  flags.OptionalInteger("shrink", &shrink, "divides every length, at most by 1024");
  flags.Text("only", &only, "operations whose names begin so");
  const auto rest = flags.Parse(arguments);
  if (absl::IsCancelled(rest.status())) {
    std::fputs(flags.Help().c_str(), stdout);
    return 0;
  }
  Require(rest.status());
  if (shrink.value_or(1) < 1 || shrink.value_or(1) > 1024)
    Require(absl::InvalidArgumentError("--shrink must be in [1, 1024]"));
  DeviceOptions options;
  options.kind = kind;
  auto device = Device::Create(options);
  Require(device.status());
  for (const Case& one : Cases(shrink.value_or(1))) {
    if (!one.name.starts_with(only)) continue;
    Memory memory(**device);
    const Work work = one.make(**device, memory);
    const Lane lane = (*device)->EnterLane();
    const double seconds = SecondsOfOne(**device, work, patience_s.value_or(0.25));
    nlohmann::ordered_json line = {
        {"operation", one.name}, {"microseconds", seconds * 1e6}, {"bytes", work.bytes}, {"flops", work.flops}};
    if (gigabytes && teraflops) {
      const double least = std::max(work.bytes / (*gigabytes * 1e9), work.flops / (*teraflops * 1e12));
      line["least_microseconds"] = least * 1e6;
      line["share_of_roofline"] = least / seconds;
    }
    std::printf("%s\n", line.dump().c_str());
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace headroom::runtime

int main(int argc, char** argv) {
  headroom::runtime::PrepareProcess(argv);
  return headroom::runtime::Run({argv + 1, argv + argc});
}
