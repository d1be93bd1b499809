// headroom-sampling-bench: what each field of a request adds to drawing one token, beside the same token drawn greedily
// in turn. One row of logits, the vocabulary of MiniCPM-V 2.6, one thread. CPU time, so that others on the machine
// count little, and ratios inside one run. Not a test.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "runtime/device.h"
#include "runtime/ops/sample.h"
#include "runtime/step.h"
#include "tools/bench/compare.h"

namespace headroom::runtime {
namespace {

constexpr int64_t kVocab = 151'666;
constexpr int kRepetitions = 60;

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "headroom-sampling-bench: %s\n", std::string(status.message()).c_str());
  std::exit(1);
}

struct Asked {
  const char* name;
  Sampling sampling = {.seed = 7};
  int32_t changes = 0;
  int32_t alternatives = -1;
  bool grammar = false;
};

constexpr Asked kCases[] = {
    {.name = "temperature 1"},
    {.name = "top_k 50", .sampling = {.top_k = 50, .seed = 7}},
    {.name = "top_p 0.9", .sampling = {.top_p = 0.9f, .seed = 7}},
    {.name = "min_p 0.05", .sampling = {.min_p = 0.05f, .seed = 7}},
    {.name = "greedy, repetition penalty 1.1", .sampling = {.temperature = 0, .repetition_penalty = 1.1f}},
    {.name = "greedy, 300 biases or penalties", .sampling = {.temperature = 0}, .changes = 300},
    {.name = "greedy, 20 logprobs", .sampling = {.temperature = 0}, .alternatives = kAlternativesMax},
    {.name = "greedy, mask of a grammar", .sampling = {.temperature = 0}, .grammar = true},
    {.name = "all of it",
     .sampling =
         {.temperature = 0.8f, .top_p = 0.9f, .top_k = 400, .repetition_penalty = 1.1f, .min_p = 0.01f, .seed = 7},
     .changes = 300,
     .alternatives = kAlternativesMax,
     .grammar = true},
};

// Device memory for one row.
class Row {
 public:
  explicit Row(Device& device) : device_(device), logits_(static_cast<size_t>(kVocab)) {
    std::mt19937 random(11);
    std::normal_distribution<float> normal(0, 3);
    for (float& logit : logits_) logit = normal(random);
    for (int32_t i = 0; i < 300; ++i) changes_.push_back({.id = 500 * i, .delta = 0.5f});
    seen_.assign(words_, 0x01010101);
    allowed_.assign(2 * words_, ~uint32_t{0});
    std::fill(allowed_.begin() + static_cast<std::ptrdiff_t>(words_), allowed_.end(), 0x00010001);
    const auto take = [&](size_t bytes) {
      auto span = device.memory().Reserve(static_cast<int64_t>(bytes) + 64, {});
      Require(span.status());
      return span->data;
    };
    on_device_ = {.logits = take(4 * static_cast<size_t>(kVocab)),
                  .row = take(sizeof(SampleRow)),
                  .seen = take(4 * words_),
                  .changes = take(changes_.size() * sizeof(LogitChange)),
                  .allowed = take(8 * words_),
                  .token = take(sizeof(int32_t)),
                  .measured = take(sizeof(LogitMeasure)),
                  .alternatives = take(kAlternativesMax * sizeof(Alternative)),
                  .scratch = take(static_cast<size_t>(SampleScratchBytes(kVocab)))};
  }

  // With the uploads that the decoder makes for it.
  void Draw(const Asked& asked) {
    const SampleRow row = {.sampling = asked.sampling,
                           .position = position_++,
                           .allowed = asked.grammar ? 1 : 0,
                           .changes = asked.changes,
                           .alternatives = asked.alternatives};
    Step step(device_);
    step.Upload(std::as_bytes(std::span(logits_)), on_device_.logits);
    step.Upload(std::as_bytes(std::span(&row, 1)), on_device_.row);
    if (asked.sampling.repetition_penalty != 1) step.Upload(std::as_bytes(std::span(seen_)), on_device_.seen);
    if (asked.changes > 0) step.Upload(std::as_bytes(std::span(changes_)), on_device_.changes);
    if (asked.grammar) step.Upload(std::as_bytes(std::span(allowed_)), on_device_.allowed);
    const auto words = static_cast<int64_t>(words_);
    step.Sample({.logits = {on_device_.logits, DType::kF32, 1, kVocab, kVocab},
                 .rows = {on_device_.row, 1},
                 .seen = {on_device_.seen, words},
                 .changes = {on_device_.changes, static_cast<int64_t>(changes_.size())},
                 .allowed = {on_device_.allowed, asked.grammar ? 2 * words : 0},
                 .tokens = {on_device_.token, 1},
                 .measured = {on_device_.measured, 1},
                 .alternatives = {on_device_.alternatives, kAlternativesMax},
                 .scratch = {on_device_.scratch, SampleScratchBytes(kVocab)}});
    int32_t token = 0;
    step.Download(on_device_.token, std::as_writable_bytes(std::span(&token, 1)));
    Require(step.End());
    if (token < 0) Require(absl::InternalError("no token"));
  }

 private:
  struct Places {
    DevicePtr logits, row, seen, changes, allowed, token, measured, alternatives, scratch;
  };
  Device& device_;
  const size_t words_ = static_cast<size_t>(SeenWords(kVocab));
  std::vector<float> logits_;
  std::vector<LogitChange> changes_;
  std::vector<uint32_t> seen_, allowed_;
  Places on_device_;
  uint64_t position_ = 0;
};

int Main() {
  auto device = Device::Create({.kind = "cpu", .threads = 1});
  Require(device.status());
  Row row(**device);
  const Asked greedy = {.name = "greedy", .sampling = {.temperature = 0}};
  std::printf("one token of %lld logits, on one core; medians of %d turns\n", static_cast<long long>(kVocab),
              kRepetitions);
  for (const Asked& asked : kCases) {
    std::vector<double> base, with, ratios;
    for (int i = 0; i < kRepetitions; ++i) {
      base.push_back(CpuSeconds([&] { row.Draw(greedy); }));
      with.push_back(CpuSeconds([&] { row.Draw(asked); }));
      ratios.push_back(with.back() / base.back());
    }
    std::printf("%-34s %7.0f us   greedy %6.0f us   ratio %.2f\n", asked.name, 1e6 * Median(with), 1e6 * Median(base),
                Median(ratios));
  }
  return 0;
}

}  // namespace
}  // namespace headroom::runtime

int main() { return headroom::runtime::Main(); }
