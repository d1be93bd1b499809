// A program that loads libnvidia-ml.so.1 at run time meets the emulated one.
#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "tests/emulation/programs/run_program.h"

namespace emulation {
namespace {

struct Program {
  std::string name;
  Variables variables;
};

class NvmlPrograms : public testing::TestWithParam<Program> {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "cardsXXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string folder_;
};

TEST_P(NvmlPrograms, Pass) {
  Variables variables = {{"EMULATED_GPU_COUNT", "2"}, {"EMULATED_GPU_MEMORY", "2GiB"}, {"EMULATED_GPU_STATE", folder_}};
  for (const auto& [name, value] : GetParam().variables) variables[name] = value;
  const ProgramResult result = RunProgram("cards", GetParam().name, variables);
  EXPECT_EQ(result.status, 0) << result.output;
  EXPECT_THAT(result.output, testing::HasSubstr("passed"));
}

INSTANTIATE_TEST_SUITE_P(Cases, NvmlPrograms,
                         testing::Values(Program{"identity", {}}, Program{"memory_of_others", {}},
                                         Program{"processes_without_sizes", {{"EMULATED_NVML_PROCESSES", "no-sizes"}}},
                                         Program{"processes_hidden", {{"EMULATED_NVML_PROCESSES", "none"}}},
                                         Program{"illegal_address", {}},
                                         Program{"ecc_error", {{"EMULATED_GPU_FAULTS", "ecc:1"}}},
                                         Program{"card_is_gone", {{"EMULATED_GPU_FAULTS", "xid:1"}}}),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace emulation
