// A token is drawn without asking for memory, whatever its request asks: what one choice does in every step around
// runtime::Sample, on a device of host memory.
#include <algorithm>
#include <array>
#include <random>
#include <span>
#include <vector>

#include "common/check.h"
#include "common/compute_thread.h"
#include "common/testing/allocation_guard.h"
#include "gtest/gtest.h"
#include "llm-worker/logit_changes.h"
#include "runtime/ops/sample.h"
#include "runtime/step.h"
#include "runtime/testing.h"

namespace headroom::llm_worker {
namespace {

using runtime::DeviceBuffer;
using runtime::SampleRow;

constexpr int64_t kVocab = 5003;
constexpr int64_t kTokens = 64;
constexpr int64_t kChangesMax = 512;

struct Asked {
  const char* name;
  runtime::Sampling sampling = {.seed = 7};
  LogitRules rules = {};
  int32_t alternatives = -1;
  bool grammar = false;
};

std::vector<Asked> Cases() {
  LogitRules rules = {.presence_penalty = 0.5f, .frequency_penalty = 0.25f, .min_tokens = 9};
  for (int32_t id = 0; id < 300; ++id) rules.bias.emplace_back(3 * id, static_cast<float>(id % 7) - 3);
  const runtime::Sampling all = {
      .temperature = 0.8f, .top_p = 0.95f, .top_k = 400, .repetition_penalty = 1.1f, .min_p = 0.01f, .seed = 7};
  return {{.name = "greedy", .sampling = {.temperature = 0}},
          {.name = "drawn"},
          {.name = "cuts", .sampling = {.temperature = 0.8f, .top_p = 0.9f, .top_k = 100, .min_p = 0.02f}},
          {.name = "repetition penalty", .sampling = {.repetition_penalty = 1.3f}},
          {.name = "penalties, bias, min_tokens", .rules = rules},
          {.name = "logprobs", .alternatives = runtime::kAlternativesMax},
          {.name = "grammar", .grammar = true},
          {.name = "all of it",
           .sampling = all,
           .rules = rules,
           .alternatives = runtime::kAlternativesMax,
           .grammar = true}};
}

// One choice: what Sequence and Decoder keep of it.
class Loop {
 public:
  Loop(runtime::Device& device, const Asked& asked)
      : asked_(asked),
        device_(device),
        words_(runtime::SeenWords(kVocab)),
        logits_(device, kVocab * 4),
        row_(device, sizeof(SampleRow)),
        seen_on_device_(device, words_ * 4),
        changes_on_device_(device, kChangesMax * static_cast<int64_t>(sizeof(runtime::LogitChange))),
        allowed_on_device_(device, 2 * words_ * 4),
        token_(device, sizeof(int32_t)),
        measured_(device, sizeof(runtime::LogitMeasure)),
        alternatives_(device, runtime::kAlternativesMax * sizeof(runtime::Alternative)),
        scratch_(device, runtime::SampleScratchBytes(kVocab)),
        changes_(asked.rules, std::array<int32_t, 2>{1, 2}, kTokens),
        seen_(static_cast<size_t>(words_), 0),
        allowed_(static_cast<size_t>(2 * words_), ~uint32_t{0}) {
    // Of a grammar: every third id. Beyond the vocabulary there is none.
    for (size_t word = static_cast<size_t>(words_); word < allowed_.size(); ++word) allowed_[word] = 0x49249249;
    allowed_[static_cast<size_t>(words_) - 1] = (uint32_t{1} << kVocab % 32) - 1;
  }

  // One step with these logits; its token.
  int32_t Step(std::span<const float> logits) {
    const ComputeScope scope;
    const SampleRow row = {.sampling = asked_.sampling,
                           .position = tokens_++,
                           .allowed = asked_.grammar ? 1 : 0,
                           .changes = static_cast<int32_t>(changes_.list().size()),
                           .alternatives = asked_.alternatives};
    runtime::Step step(device_);
    step.Upload(std::as_bytes(logits), logits_.data());
    step.Upload(std::as_bytes(std::span(&row, 1)), row_.data());
    step.Upload(std::as_bytes(std::span(seen_)), seen_on_device_.data());
    if (row.changes > 0) step.Upload(std::as_bytes(changes_.list()), changes_on_device_.data());
    step.Upload(std::as_bytes(std::span(allowed_)), allowed_on_device_.data());
    step.Sample({.logits = {logits_.data(), DType::kF32, 1, kVocab, kVocab},
                 .rows = {row_.data(), 1},
                 .seen = {seen_on_device_.data(), words_},
                 .changes = {changes_on_device_.data(), kChangesMax},
                 .allowed = {allowed_on_device_.data(), 2 * words_},
                 .tokens = {token_.data(), 1},
                 .measured = {measured_.data(), 1},
                 .alternatives = {alternatives_.data(), runtime::kAlternativesMax},
                 .scratch = scratch_.span()});
    int32_t token = 0;
    step.Download(token_.data(), std::as_writable_bytes(std::span(&token, 1)));
    HEADROOM_CHECK(step.End().ok());
    HEADROOM_CHECK(token >= 0) << token;
    changes_.Add(token);
    seen_[static_cast<size_t>(token / 32)] |= uint32_t{1} << (token % 32);
    return token;
  }

 private:
  const Asked& asked_;
  runtime::Device& device_;
  const int64_t words_;
  DeviceBuffer logits_, row_, seen_on_device_, changes_on_device_, allowed_on_device_, token_, measured_, alternatives_,
      scratch_;
  LogitChanges changes_;
  std::vector<uint32_t> seen_, allowed_;
  uint64_t tokens_ = 0;
};

TEST(SamplingAllocationTest, NoTokenAsksForMemory) {
  ASSERT_TRUE(AllocationGuardWorks());
  auto device = runtime::Device::Create({.kind = "cpu", .threads = 1});
  ASSERT_TRUE(device.ok()) << device.status();
  for (const Asked& asked : Cases()) {
    SCOPED_TRACE(asked.name);
    std::mt19937 random(5);
    std::normal_distribution<float> normal(0, 3);
    Loop loop(**device, asked);
    std::vector<float> logits(static_cast<size_t>(kVocab));
    std::vector<int32_t> tokens;
    const int64_t before = GuardedAllocations();
    for (int64_t i = 0; i < kTokens; ++i) {
      std::ranges::generate(logits, [&] { return normal(random); });
      tokens.push_back(loop.Step(logits));
    }
    EXPECT_EQ(GuardedAllocations(), before);
    if (asked.grammar) {
      EXPECT_TRUE(std::ranges::all_of(tokens, [](int32_t id) { return (0x49249249 >> id % 32 & 1) != 0; }));
    }
    const auto stop = std::ranges::find_if(tokens, [](int32_t id) { return id == 1 || id == 2; });
    EXPECT_TRUE(asked.rules.min_tokens == 0 || stop - tokens.begin() >= asked.rules.min_tokens);
  }
}

}  // namespace
}  // namespace headroom::llm_worker
