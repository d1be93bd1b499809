// The reference case: MiniCPM-V 2.6 in bf16, on the cards where it began. README shows its picture.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "cli/plan/figure.h"
#include "cli/plan/outputs.h"
#include "cli/plan/testing.h"
#include "common/testing/paths.h"
#include "common/units.h"

namespace headroom::cli {
namespace {

using memory::Component;
using ::testing::HasSubstr;

struct Case {
  Plans plans;
  VllmEstimate vllm;

  const memory::Plan& plan() const { return plans.devices[0].ranks[0]; }
};

Case Reference(const std::string& device, const memory::Knobs& knobs) {
  PlanOptions options;
  options.model = SourceDir() + "/models/cards/minicpm-v-2_6";
  options.devices = {device};
  options.knobs = knobs;
  auto plans = MakeOnePlan(ClusterConfig(), options);
  EXPECT_TRUE(plans.ok()) << plans.status();
  EXPECT_TRUE(plans->fits()) << plans->devices[0].refusal;
  const auto estimate = EstimateVllm(*plans, plans->devices[0]);
  EXPECT_TRUE(estimate.ok()) << estimate.status();
  return {*std::move(plans), *estimate};
}

// What users were told to set on a card of 24 GB; and all of it promised.
memory::Knobs Small() {
  memory::Knobs knobs;
  knobs.max_num_seqs = knobs.min_full_length_seqs = 32;
  knobs.max_model_len = 4096;
  knobs.gpu_memory_utilization = 1.0;
  return knobs;
}

int64_t BytesOf(const VllmEstimate& estimate, VllmItem item) {
  for (const VllmLine& line : estimate.lines) {
    if (line.item == item) return line.bytes;
  }
  return 0;
}

TEST(ReferenceCase, On24GibAll32FullLengthSequencesArePromised) {
  const Case reference = Reference("rtx3090", Small());
  EXPECT_GE(reference.plan().full_length_seqs, 32);
  EXPECT_EQ(reference.plan().kv.BlockBytes(), 917'504);
  // How full it is: what is neither the pool nor headroom, plus the 7 GiB that 32 sequences take.
  const int64_t needed = reference.plan().device_bytes - reference.plan().Bytes(Component::kKvPool) -
                         reference.plan().Bytes(Component::kHeadroom) + 32 * 256 * int64_t{917'504};
  EXPECT_NEAR(static_cast<double>(needed) / static_cast<double>(reference.plan().device_bytes), 0.975, 0.01);
}

// The same 32 on the 24 GB of cards with ECC, of which less is left, need smaller steps, and get them.
TEST(ReferenceCase, On48And80GibWithDefaultKnobs) {
  const Case on48 = Reference("cuda:48GiB", {});
  EXPECT_EQ(on48.plan().knobs.max_model_len, 32'768);
  EXPECT_EQ(on48.plan().knobs.max_num_seqs, 256);
  EXPECT_GE(on48.plan().full_length_seqs, 17);
  EXPECT_EQ(on48.vllm.outcome, VllmOutcome::kOutOfMemory);
  const Case on80 = Reference("a100-80", {});
  EXPECT_GE(on80.plan().full_length_seqs, 36);
}

TEST(ReferenceCase, VllmAskedForSixtyEightGibByDefault) {
  const VllmEstimate by_default = Reference("a100-80", {}).vllm;
  EXPECT_EQ(by_default.images, 256);
  EXPECT_EQ(by_default.score_tensor_bytes, 16 * kGiB);
  EXPECT_NEAR(InGib(by_default.total_bytes), 68, 1);
  EXPECT_NEAR(InGib(BytesOf(by_default, VllmItem::kScores) + BytesOf(by_default, VllmItem::kScaledScores) +
                    BytesOf(by_default, VllmItem::kScoresF32) + BytesOf(by_default, VllmItem::kSoftmaxF32)),
              48, 0.001);
  const VllmEstimate small = Reference("rtx3090", Small()).vllm;
  EXPECT_EQ(small.images, 32);
  EXPECT_NE(small.outcome, VllmOutcome::kOutOfMemory) << "the advice of the thread: 32 sequences, 4,096 tokens";
}

// docs/reference-case.svg.
Figure ReferenceFigure() {
  Figure figure;
  const auto add = [&](const std::string& group, const Case& reference) {
    Figure one = PlanFigure(reference.plans);
    for (Bar& bar : one.bars) bar.group = group;
    figure.bars.insert(figure.bars.end(), one.bars.begin(), one.bars.end());
    figure.subtitle = one.subtitle;
    figure.footnotes = {one.footnotes[0], one.footnotes[1]};
  };
  add("24 GB, 32 sequences of 4,096 tokens", Reference("rtx3090", Small()));
  add("48 GB, default settings", Reference("l40s", {}));
  add("80 GB, default settings", Reference("a100-80", {}));
  figure.title = "MiniCPM-V 2.6 in bf16: what Headroom plans, and what vLLM would have asked for";
  figure.footnotes[0] += " No card has run the backend for GPUs yet: their bytes are a plan, with assumed floors.";
  figure.footnotes[1] += " Reported then: around 70 GB with default settings on an 80 GB card; out of memory on 48 GB.";
  figure.footnotes.push_back(
      "Cards: RTX 3090, L40S, A100, with the memory that their drivers report (on an L40S, error correction takes a "
      "part of the 48 GB).");
  return figure;
}

TEST(ReferenceCase, BarsSumToTheirDevices) {
  const std::vector<Bar> bars = ReferenceFigure().bars;
  ASSERT_EQ(bars.size(), 6U);
  for (size_t i = 0; i < bars.size(); i += 2) {
    const Bar &ours = bars[i], &theirs = bars[i + 1];
    EXPECT_EQ(ours.group, theirs.group);
    EXPECT_EQ(ours.tone, Tone::kGood);
    EXPECT_EQ(ours.Bytes(true), ours.device_bytes) << "a plan sums to the device to the byte";
    EXPECT_EQ(theirs.Bytes(true), std::max(theirs.device_bytes, theirs.Bytes(false)));
  }
  EXPECT_EQ(bars[3].Bytes(true), Reference("l40s", {}).vllm.total_bytes);
  EXPECT_EQ(bars[0].headline, "all 32 sequences of 4,096 tokens");
  EXPECT_EQ(bars[1].headline, "8 sequences of 4,096 tokens");
  EXPECT_EQ(bars[1].tone, Tone::kPoor);
  EXPECT_EQ(bars[3].headline, "out of memory at start");
  EXPECT_EQ(bars[3].tone, Tone::kBad);
  EXPECT_EQ(bars[5].headline, "2 sequences of 32,768 tokens");
  EXPECT_THAT(bars[3].note, HasSubstr("256 images of 1,024 patches"));
}

std::string Contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(ReferenceCase, TheDocumentedPictureIsCurrent) {
  const std::string picture = PlanPicture(ReferenceFigure());
  Elements(picture);
  EXPECT_THAT(picture, HasSubstr(" GiB over"));
  EXPECT_THAT(picture, HasSubstr("our estimate"));
  const std::string fresh = BinaryDir() + "/reference-case.svg";
  std::ofstream(fresh, std::ios::binary) << picture;
  EXPECT_TRUE(Contents(SourceDir() + "/docs/reference-case.svg") == picture)
      << "the picture of the reference case has changed: copy reference-case.svg from the build folder to docs/, look "
         "at it, and check the numbers of the README";
}

}  // namespace
}  // namespace headroom::cli
