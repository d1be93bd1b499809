#include "cli/plan/figure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "cli/plan/outputs.h"
#include "common/testing/paths.h"
#include "common/units.h"

namespace headroom::cli {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

Plans PlanOn(const std::vector<std::string>& devices, PlanOptions options = {}) {
  options.model = SourceDir() + "/models/cards/minicpm-v-2_6";
  options.devices = devices;
  auto plans = MakeOnePlan(ClusterConfig(), options);
  EXPECT_TRUE(plans.ok()) << plans.status();
  return *std::move(plans);
}

model::ModelSpec Published() { return PlanOn({"rtx3090"}).spec; }

TEST(Figure, DevicesSideBySideWithVllm) {
  const Figure figure = PlanFigure(PlanOn({"rtx3090", "a100-80"}));
  const std::vector<Bar>& bars = figure.bars;
  ASSERT_EQ(bars.size(), 4U);
  EXPECT_EQ(bars[0].title, "Headroom");
  EXPECT_EQ(bars[0].group, "NVIDIA GeForce RTX 3090, 24 GB");
  EXPECT_EQ(bars[1].group, bars[0].group);
  EXPECT_EQ(bars[1].title, "vLLM, August 2024");
  EXPECT_EQ(bars[1].headline, "out of memory at start");
  EXPECT_NE(bars[2].group, bars[0].group);
  EXPECT_EQ(bars[0].Bytes(true), bars[0].device_bytes);
  EXPECT_THAT(figure.footnotes, Contains(StartsWith("Assumed of GPUs: ")));
  EXPECT_THAT(figure.footnotes, Contains(HasSubstr("our estimate")));
}

TEST(Figure, VllmIsAskedWithTheSameKnobs) {
  PlanOptions options;
  options.knobs.max_num_seqs = 32;
  options.knobs.max_model_len = 4096;
  options.knobs.gpu_memory_utilization = 1;
  const std::vector<Bar> bars = PlanFigure(PlanOn({"rtx3090"}, options)).bars;
  ASSERT_EQ(bars.size(), 2U);
  EXPECT_EQ(bars[1].headline, "8 sequences of 4,096 tokens");
  EXPECT_EQ(bars[1].tone, Tone::kPoor);
}

TEST(Figure, NothingToCompareOnACpuOrWithQuantizedWeights) {
  const Figure on_cpu = PlanFigure(PlanOn({"cpu:24GiB"}));
  EXPECT_EQ(on_cpu.bars.size(), 1U);
  EXPECT_THAT(PlanPage(on_cpu), Not(HasSubstr("vLLM")));
  EXPECT_THAT(on_cpu.title, HasSubstr("in bf16: every byte"));
  PlanOptions options;
  options.quantization = "int8";
  const Figure quantized = PlanFigure(PlanOn({"rtx3090"}, options));
  EXPECT_EQ(quantized.bars.size(), 1U);
  EXPECT_THAT(quantized.title, Not(HasSubstr("in bf16: every byte")));
  options.quantization.clear();
  options.kv_cache_dtype = "fp8";
  EXPECT_EQ(PlanFigure(PlanOn({"rtx3090"}, options)).bars.size(), 1U);
}

TEST(Figure, EqualRanksStandOnce) {
  PlanOptions options;
  options.knobs.tensor_parallel_size = 4;
  const std::vector<Bar> bars = PlanFigure(PlanOn({"rtx3090"}, options)).bars;
  ASSERT_EQ(bars.size(), 2U) << "rank 0 has the tower";
  EXPECT_EQ(bars[0].title, "Headroom, rank 0");
  EXPECT_EQ(bars[1].title, "Headroom, ranks 1 to 3");
}

TEST(Figure, RefusalIsShownAsOne) {
  const Plans plans = PlanOn({"cuda:12GiB"});
  ASSERT_FALSE(plans.fits());
  const std::vector<Bar> bars = PlanFigure(plans).bars;
  ASSERT_EQ(bars.size(), 2U);
  EXPECT_EQ(bars[0].tone, Tone::kBad);
  EXPECT_TRUE(bars[0].segments.empty());
  EXPECT_THAT(bars[0].note, HasSubstr("does not fit"));
  EXPECT_EQ(bars[1].tone, Tone::kBad);
}

TEST(Figure, NoRoomForOneSequence) {
  const auto estimate =
      Vllm2024(Published(), {.knobs = {.max_num_seqs = 32, .max_model_len = 4096}, .device_bytes = 24 * kGiB});
  ASSERT_TRUE(estimate.ok());
  const Bar bar = VllmBar(*estimate);
  EXPECT_EQ(bar.headline, "no room for one sequence of 4,096 tokens");
  EXPECT_EQ(bar.tone, Tone::kBad);
  EXPECT_EQ(bar.Bytes(true), 24 * kGiB);
  EXPECT_EQ(bar.segments.back().key, "unused");
}

TEST(Figure, TextModelHasNoImages) {
  const auto text_only = model::LoadModelSpec(SourceDir() + "/tests/golden/qwen2");
  ASSERT_TRUE(text_only.ok()) << text_only.status();
  const auto estimate = Vllm2024(*text_only, {.device_bytes = 40 * kGiB});
  ASSERT_TRUE(estimate.ok());
  const Bar bar = VllmBar(*estimate);
  EXPECT_THAT(bar.note, Not(HasSubstr("image")));
  EXPECT_EQ(bar.title, "vLLM, August 2024");
}

TEST(Figure, SumsSaturate) {
  Bar bar{.device_bytes = 8, .segments = {{.bytes = 5}, {.bytes = -7}, {.key = "headroom", .bytes = 4}}};
  EXPECT_EQ(bar.Bytes(false), 5);
  EXPECT_EQ(bar.Bytes(true), 9);
  EXPECT_EQ(bar.BytesBeyond(false), 0);
  EXPECT_EQ(bar.BytesBeyond(true), 1);
  bar.device_bytes = -1;
  EXPECT_EQ(bar.BytesBeyond(false), 5) << "a device of less than nothing counts as nothing";
  bar.segments.push_back({.bytes = std::numeric_limits<int64_t>::max()});
  EXPECT_EQ(bar.Bytes(true), std::numeric_limits<int64_t>::max());
}

}  // namespace
}  // namespace headroom::cli
