#include "cli/plan/figure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "cli/plan/style.h"
#include "cli/plan/xml_reader.h"
#include "common/testing/paths.h"
#include "common/units.h"

namespace headroom::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

model::ModelConfig Published() {
  auto config = model::LoadModelConfig(SourceDir() + "/models/cards/minicpm-v-2_6");
  EXPECT_TRUE(config.ok()) << config.status();
  return *std::move(config);
}

TEST(PlanFigure, ReferenceCases) {
  const auto reference = ReferenceCases(Published());
  ASSERT_TRUE(reference.ok()) << reference.status();
  const std::vector<ComparedPlan>& cases = *reference;
  const std::vector<PageColumn> columns = ComparedColumns(cases);
  ASSERT_EQ(columns.size(), 6U);
  for (size_t i = 0; i < columns.size(); i += 2) {
    const PageColumn &ours = columns[i], &theirs = columns[i + 1];
    EXPECT_EQ(ours.group, theirs.group);
    EXPECT_EQ(ours.verdict, PageVerdict::kGood);
    EXPECT_EQ(BytesOf(ours, true), ours.device_bytes) << "a plan sums to the device to the byte";
    EXPECT_EQ(BytesOf(theirs, true), std::max(theirs.device_bytes, cases[i / 2].vllm.total_bytes));
    for (const PageColumn& column : {ours, theirs}) {
      for (const PagePart& part : column.parts) EXPECT_NE(PartClass(part.key), "s-other") << part.label;
    }
  }
  EXPECT_EQ(columns[0].headline, "all 32 sequences of 4,096 tokens");
  EXPECT_EQ(columns[1].headline, "8 sequences of 4,096 tokens");
  EXPECT_EQ(columns[1].verdict, PageVerdict::kPoor);
  EXPECT_EQ(columns[3].headline, "out of memory at start");
  EXPECT_EQ(columns[3].verdict, PageVerdict::kBad);
  EXPECT_EQ(columns[5].headline, "2 sequences of 32,768 tokens");
  EXPECT_THAT(columns[3].note, HasSubstr("256 images of 1,024 patches"));
}

std::string Contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(PlanFigure, TheDocumentedPictureIsCurrent) {
  const auto cases = ReferenceCases(Published());
  ASSERT_TRUE(cases.ok()) << cases.status();
  const std::string figure = ReferenceFigure(*cases);
  std::vector<XmlElement> elements;
  EXPECT_EQ(XmlReader(figure).Read(&elements), "");
  EXPECT_THAT(figure, HasSubstr(" GiB over"));
  EXPECT_THAT(figure, HasSubstr("our estimate"));
  const std::string fresh = BinaryDir() + "/reference-case.svg";
  std::ofstream(fresh, std::ios::binary) << figure;
  EXPECT_TRUE(Contents(SourceDir() + "/docs/reference-case.svg") == figure)
      << "the plan of the reference case has changed: copy reference-case.svg from the build folder to docs/, and "
         "check "
         "the numbers of the README";
}

TEST(PlanFigure, NoRoomForOneSequence) {
  auto estimate =
      Vllm2024(Published(), {.knobs = {.max_num_seqs = 32, .max_model_len = 4096}, .device_bytes = 24 * kGiB});
  ASSERT_TRUE(estimate.ok());
  const PageColumn column = VllmColumn(*estimate, "24 GB");
  EXPECT_EQ(column.headline, "no room for one sequence of 4,096 tokens");
  EXPECT_EQ(column.verdict, PageVerdict::kBad);
  EXPECT_EQ(BytesOf(column, true), 24 * kGiB);
  EXPECT_EQ(column.parts.back().key, "unused");
}

TEST(PlanFigure, TextModelHasNoImages) {
  model::ModelConfig config = Published();
  config.vision.reset();
  config.architecture = model::Architecture::kQwen2;
  const auto estimate = Vllm2024(config, {.device_bytes = 40 * kGiB});
  ASSERT_TRUE(estimate.ok());
  const PageColumn column = VllmColumn(*estimate, "40 GB");
  EXPECT_THAT(column.note, Not(HasSubstr("image")));
  EXPECT_EQ(column.title, "vLLM, August 2024");
}

}  // namespace
}  // namespace headroom::cli
