// Every golden case on a device that is not the CPU: the numbers of the models rest on nothing that only the CPU does.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <tuple>

#include "common/testing/folders.h"
#include "common/testing/paths.h"
#include "runtime/testing/test_device.h"
#include "tools/golden_check/golden_check.h"

namespace headroom::tools {
namespace {

class GoldenTest : public testing::TestWithParam<std::tuple<std::string, DType>> {};

TEST_P(GoldenTest, EveryCaseIsWithinTolerance) {
  const auto& [model, compute] = GetParam();
  CheckOptions options;
  options.directory = SourceDir() + "/tests/golden/" + model;
  options.compute = compute;
  options.create_device = runtime::CreateTestDevice;
  std::string report;
  const auto summary = RunGoldenCheck(options, [&report](const std::string& text) { report += text; });
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_TRUE(summary->passed()) << report;
  EXPECT_GT(summary->within, 0) << report;
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenTest,
                         testing::Combine(testing::ValuesIn(FoldersWith("config.json", "tests/golden")),
                                          testing::Values(DType::kF32, DType::kBF16)),
                         [](const auto& test) {
                           std::string name = std::get<0>(test.param) + "_" + DTypeName(std::get<1>(test.param));
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace headroom::tools
