// The kernels as nvcc compiles them, for several architectures, in several orders, against references in double.
#include <gmock/gmock.h>

#include "tests/emulation/kernels/machine_device.h"
#include "tests/emulation/kernels/workloads.h"

namespace emulation {
namespace {

struct Setting {
  int architecture;
  uint64_t seed;
  bool split_warps, checked;
};

class Kernels : public testing::TestWithParam<Setting> {
 public:
  double Error(const std::string& file, const std::string& kernel) {
    device_.options.seed = GetParam().seed;
    device_.options.split_warps = GetParam().split_warps;
    device_.options.checked = GetParam().checked;
    device_.options.count = true;
    device_.Load(KernelPtx(file, GetParam().architecture));
    MachineDevice machine(device_);
    return WorkloadOf(kernel).run(machine, kernel, {});
  }

 private:
  TestDevice device_;
};

TEST_P(Kernels, RowNorm) { EXPECT_LT(Error("row_norm", "RowNorm"), kErrorMax); }
TEST_P(Kernels, PagedAttention) { EXPECT_LT(Error("paged_attention", "PagedAttention"), kErrorMax); }
TEST_P(Kernels, FlashAttention) { EXPECT_LT(Error("flash_attention", "FlashAttention"), kErrorMax); }
TEST_P(Kernels, SumByLastBlock) { EXPECT_EQ(Error("features", "SumByLastBlock"), 0); }
TEST_P(Kernels, Histogram) { EXPECT_EQ(Error("features", "Histogram"), 0); }
TEST_P(Kernels, Calls) { EXPECT_EQ(Error("features", "Calls"), 0); }

INSTANTIATE_TEST_SUITE_P(Settings, Kernels,
                         testing::Values(Setting{80, 0, false, false}, Setting{80, 7, true, true},
                                         Setting{90, 1, false, true}, Setting{120, 2, false, true}),
                         [](const auto& setting) {
                           return "sm_" + std::to_string(setting.param.architecture) + "_seed_" +
                                  std::to_string(setting.param.seed) + (setting.param.split_warps ? "_split" : "") +
                                  (setting.param.checked ? "_checked" : "");
                         });

TEST(Features, VariablesOfTheModuleAreCountedIn) {
  TestDevice device;
  const Program& program = device.Load(KernelPtx("features"));
  MachineDevice machine(device);
  EXPECT_EQ(RunCalls(machine, "Calls"), 0);
  EXPECT_EQ(device.Download<int>(program.variables.at("call_count").address, 1)[0], 50);
}

TEST(Features, PrintfAndAssert) {
  TestDevice device;
  std::string printed;
  device.options.print = [&](const std::string& text) { printed += text; };
  device.Load(KernelPtx("features"));
  device.RunPacked("Print", {1}, {8}, Pack(8));
  EXPECT_EQ(printed, "thread 2 of Print: 1.50 1099511627776%\n");
  EXPECT_THAT(device.Fault("Print", {1}, {8}, {7}),
              testing::AllOf(testing::HasSubstr("assertion"), testing::HasSubstr("features.cu"),
                             testing::HasSubstr("thread (7,0,0)")));
}

TEST(Features, CooperativeGridBarrier) {
  for (const uint64_t seed : {0, 1, 2}) {
    TestDevice device;
    device.options.seed = seed;
    device.cooperative = true;
    device.Load(KernelPtx("features"));
    const uint64_t x = device.Allocate(5 * 64 * sizeof(int)), y = device.Allocate(5 * 64 * sizeof(int));
    device.RunPacked("Rotate", {5}, {64}, Pack(x, y));
    const std::vector<int> got = device.Download<int>(y, 5 * 64);
    for (int k = 0; k < 5 * 64; k++) EXPECT_EQ(got[k], (k / 64 + 1) % 5 * 1000 + k % 64);
  }
}

// Padding of 16 bytes a row keeps the rows of a matrix in different banks; the norm reads and writes whole sectors.
TEST(Counters, OfTheKernels) {
  TestDevice device;
  device.options.count = true;
  device.Load(KernelPtx("flash_attention"));
  MachineDevice flash(device), norm(device);
  RunFlashAttention(flash, "FlashAttention");
  EXPECT_EQ(flash.counters.matrix_waves, flash.counters.matrix_requests);
  device.Load(KernelPtx("row_norm"));
  RunRowNorm(norm, "RowNorm");
  EXPECT_EQ(norm.counters.global_sectors, norm.counters.global_ideal_sectors);
}

// Equal in every run and in every order: what tests may hold against limits.
TEST(Counters, DoNotDependOnTheOrder) {
  std::vector<uint64_t> instructions, sectors;
  for (const uint64_t seed : {0, 5, 6}) {
    TestDevice device;
    device.options.count = true;
    device.options.seed = seed;
    device.Load(KernelPtx("flash_attention"));
    MachineDevice machine(device);
    RunFlashAttention(machine, "FlashAttention");
    instructions.push_back(machine.counters.warp_instructions);
    sectors.push_back(machine.counters.global_sectors);
  }
  EXPECT_THAT(instructions, testing::Each(instructions[0]));
  EXPECT_THAT(sectors, testing::Each(sectors[0]));
}

}  // namespace
}  // namespace emulation
