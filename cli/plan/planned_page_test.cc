#include "cli/plan/planned_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/plan/style.h"
#include "cli/plan/xml_reader.h"
#include "common/testing/paths.h"

namespace headroom::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Planned PlanOn(const std::vector<std::string>& devices, PlanOptions options = {}) {
  options.model = SourceDir() + "/models/cards/minicpm-v-2_6";
  options.devices = devices;
  auto planned = MakePlans(ClusterConfig(), options);
  EXPECT_TRUE(planned.ok()) << planned.status();
  return *std::move(planned);
}

void ExpectWellFormed(const Planned& planned) {
  for (const std::string& drawn : {PlannedHtml(planned), PlannedSvg(planned)}) {
    std::vector<XmlElement> elements;
    EXPECT_EQ(XmlReader(drawn).Read(&elements), "");
  }
}

TEST(PlannedPage, DevicesSideBySideWithVllm) {
  const Planned planned = PlanOn({"rtx3090", "a100-80"});
  const std::vector<PageColumn> columns = PlannedColumns(planned);
  ASSERT_EQ(columns.size(), 4U);
  EXPECT_EQ(columns[0].title, "Headroom");
  EXPECT_EQ(columns[0].group, "NVIDIA GeForce RTX 3090, 24 GB");
  EXPECT_EQ(columns[1].group, columns[0].group);
  EXPECT_EQ(columns[1].title, "vLLM, August 2024");
  EXPECT_EQ(columns[1].headline, "out of memory at start");
  EXPECT_NE(columns[2].group, columns[0].group);
  EXPECT_EQ(BytesOf(columns[0], true), columns[0].device_bytes);
  EXPECT_THAT(PlannedSvg(planned), HasSubstr("Plan only: "));
  ExpectWellFormed(planned);
}

TEST(PlannedPage, VllmIsAskedWithTheSameKnobs) {
  PlanOptions options;
  options.knobs.max_num_seqs = 32;
  options.knobs.max_model_len = 4096;
  options.knobs.gpu_memory_utilization = 1;
  const std::vector<PageColumn> columns = PlannedColumns(PlanOn({"rtx3090"}, options));
  ASSERT_EQ(columns.size(), 2U);
  EXPECT_EQ(columns[1].headline, "8 sequences of 4,096 tokens");
}

TEST(PlannedPage, NothingToCompareOnACpuOrWithQuantizedWeights) {
  const Planned planned = PlanOn({"cpu:24GiB"});
  EXPECT_EQ(PlannedColumns(planned).size(), 1U);
  EXPECT_THAT(PlannedHtml(planned), Not(HasSubstr("vLLM")));
  PlanOptions options;
  options.quantization = "int8";
  const Planned quantized = PlanOn({"rtx3090"}, options);
  EXPECT_EQ(PlannedColumns(quantized).size(), 1U);
  EXPECT_THAT(PlannedSvg(quantized), Not(HasSubstr("in bf16: every byte")));
  EXPECT_THAT(PlannedSvg(planned), HasSubstr("in bf16: every byte"));
  options.quantization.clear();
  options.kv_cache_dtype = "fp8";
  EXPECT_EQ(PlannedColumns(PlanOn({"rtx3090"}, options)).size(), 1U);
}

TEST(PlannedPage, EqualRanksStandOnce) {
  PlanOptions options;
  options.knobs.tensor_parallel_size = 4;
  const Planned planned = PlanOn({"rtx3090"}, options);
  const std::vector<PageColumn> columns = PlannedColumns(planned);
  ASSERT_EQ(columns.size(), 2U) << "rank 0 has the tower";
  EXPECT_EQ(columns[0].title, "Headroom, rank 0");
  EXPECT_EQ(columns[1].title, "Headroom, ranks 1 to 3");
  ExpectWellFormed(planned);
}

TEST(PlannedPage, RefusalIsShownAsOne) {
  const Planned planned = PlanOn({"cuda:12GiB"});
  ASSERT_FALSE(planned.fits());
  const std::vector<PageColumn> columns = PlannedColumns(planned);
  ASSERT_EQ(columns.size(), 2U);
  EXPECT_EQ(columns[0].verdict, PageVerdict::kBad);
  EXPECT_TRUE(columns[0].parts.empty());
  EXPECT_THAT(columns[0].note, HasSubstr("does not fit"));
  EXPECT_EQ(columns[1].verdict, PageVerdict::kBad);
  ExpectWellFormed(planned);
}

}  // namespace
}  // namespace headroom::cli
