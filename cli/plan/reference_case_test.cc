// The reference case: MiniCPM-V 2.6 in bf16, on the cards where it began. README shows its figure
// (figure_test.cc).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/plan/plans.h"
#include "common/testing/paths.h"
#include "common/units.h"

namespace headroom::cli {
namespace {

using memory::Component;

struct Case {
  Planned planned;
  VllmEstimate vllm;

  const memory::Plan& plan() const { return planned.devices[0].ranks[0]; }
};

Case Reference(const std::string& device, const memory::Knobs& knobs) {
  PlanOptions options;
  options.model = SourceDir() + "/models/cards/minicpm-v-2_6";
  options.devices = {device};
  options.knobs = knobs;
  auto planned = MakePlans(ClusterConfig(), options);
  EXPECT_TRUE(planned.ok()) << planned.status();
  EXPECT_TRUE(planned->fits()) << planned->devices[0].refusal;
  auto estimates = VllmEstimates(*planned);
  EXPECT_TRUE(estimates.ok()) << estimates.status();
  return {*std::move(planned), estimates->front()};
}

memory::Knobs Small() {
  memory::Knobs knobs;
  knobs.max_num_seqs = 32;
  knobs.max_model_len = 4096;
  knobs.gpu_memory_utilization = 1.0;
  return knobs;
}

int64_t BytesOf(const VllmEstimate& estimate, VllmPart part) {
  for (const VllmLine& line : estimate.lines) {
    if (line.part == part) return line.bytes;
  }
  return 0;
}

TEST(ReferenceCase, On24GibAll32FullLengthSequencesArePromised) {
  memory::Knobs knobs = Small();
  knobs.min_full_length_seqs = 32;
  const Case reference = Reference("rtx3090", knobs);
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
  EXPECT_EQ(by_default.score_tensor_bytes, int64_t{16} << 30);
  EXPECT_NEAR(static_cast<double>(by_default.total_bytes) / kGiB, 68, 1);
  EXPECT_NEAR(
      static_cast<double>(BytesOf(by_default, VllmPart::kScores) + BytesOf(by_default, VllmPart::kScaledScores) +
                          BytesOf(by_default, VllmPart::kScoresF32) + BytesOf(by_default, VllmPart::kSoftmaxF32)) /
          kGiB,
      48, 0.001);
  const VllmEstimate small = Reference("rtx3090", Small()).vllm;
  EXPECT_EQ(small.images, 32);
  EXPECT_NE(small.outcome, VllmOutcome::kOutOfMemory) << "the advice of the thread: 32 sequences, 4,096 tokens";
}

}  // namespace
}  // namespace headroom::cli
