// Every golden case on a device that is not the CPU: the numbers of the models rest on nothing that only the CPU does.
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>
#include <tuple>

#include "common/testing/paths.h"
#include "runtime/testing/test_device.h"
#include "tools/golden_check/golden_check.h"

namespace headroom::tools {
namespace {

class GoldenTest : public testing::TestWithParam<std::tuple<const char*, DType>> {};

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

INSTANTIATE_TEST_SUITE_P(
    Models, GoldenTest,
    testing::Combine(testing::Values("minicpmv", "glm4v", "qwen2", "qwen3", "llama", "llama3", "mistral"),
                     testing::Values(DType::kF32, DType::kBF16)),
    [](const auto& test) { return std::string(std::get<0>(test.param)) + "_" + DTypeName(std::get<1>(test.param)); });

// A golden directory that nobody lists above would not be computed here.
TEST(GoldenDirectories, AreAllListed) {
  const std::set<std::string> listed = {"minicpmv", "glm4v", "qwen2", "qwen3", "llama", "llama3", "mistral"};
  for (const auto& entry : std::filesystem::directory_iterator(SourceDir() + "/tests/golden")) {
    if (!std::filesystem::exists(entry.path() / "expected") || !std::filesystem::exists(entry.path() / "config.json")) {
      continue;
    }
    EXPECT_TRUE(listed.contains(entry.path().filename().string())) << entry.path();
  }
}

}  // namespace
}  // namespace headroom::tools
