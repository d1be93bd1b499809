// CUB, whose kernels are others' and use what ours do not: the emulation runs them as they are.
#include <gmock/gmock.h>

#include "tests/emulation/programs/run_program.h"

namespace emulation {
namespace {

struct CubCase {
  const char *program, *name;
};

class Cub : public testing::TestWithParam<std::tuple<CubCase, const char*>> {};

TEST_P(Cub, ComputesWhatPlainLoopsDo) {
  const auto& [cub, capability] = GetParam();
  // Each order, and the PTX of each architecture: not each with each, which takes long.
  for (const std::string order : {"late", "eager", "seeded"}) {
    if (order != "late" && std::string(capability) != "8.0") continue;
    const ProgramResult result = RunProgram(cub.program, cub.name,
                                            {{"EMULATED_GPU_CAPABILITY", capability},
                                             {"EMULATED_GPU_STREAMS", order},
                                             {"EMULATED_GPU_SEED", order == "seeded" ? "5" : "0"}});
    EXPECT_EQ(result.status, 0) << order << ": " << result.output;
    EXPECT_THAT(result.output, testing::HasSubstr("passed")) << order;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Cases, Cub,
    testing::Combine(testing::Values(CubCase{"cub_sort", "keys_u32"}, CubCase{"cub_sort", "keys_s64"},
                                     CubCase{"cub_sort", "pairs_u64"}, CubCase{"cub_sort", "pairs_f32_descending"},
                                     CubCase{"cub_scan", "scan_s32"}, CubCase{"cub_scan", "reduce_f32"}),
                     testing::Values("8.0", "9.0", "12.0")),
    [](const auto& test) {
      std::string capability = std::get<1>(test.param);
      capability.replace(capability.find('.'), 1, "_");
      return std::string(std::get<0>(test.param).name) + "_on_" + capability;
    });

}  // namespace
}  // namespace emulation
