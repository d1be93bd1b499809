// The kernels as nvcc compiles them, for several architectures, in several orders, against references in double.
#include <gmock/gmock.h>

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
  TestDevice& Device(const std::string& file) {
    device_.options.seed = GetParam().seed;
    device_.options.split_warps = GetParam().split_warps;
    device_.options.checked = GetParam().checked;
    device_.options.count = true;
    device_.Load(KernelPtx(file, GetParam().architecture));
    return device_;
  }

 private:
  TestDevice device_;
};

TEST_P(Kernels, RowNorm) { EXPECT_LT(RunRowNorm(Device("row_norm"), "RowNorm").error, kErrorMax); }
TEST_P(Kernels, PagedAttention) {
  EXPECT_LT(RunPagedAttention(Device("paged_attention"), "PagedAttention").error, kErrorMax);
}
TEST_P(Kernels, FlashAttention) {
  EXPECT_LT(RunFlashAttention(Device("flash_attention"), "FlashAttention").error, kErrorMax);
}
TEST_P(Kernels, SumByLastBlock) { EXPECT_EQ(RunSumByLastBlock(Device("features"), "SumByLastBlock").error, 0); }
TEST_P(Kernels, Histogram) { EXPECT_EQ(RunHistogram(Device("features"), "Histogram").error, 0); }

INSTANTIATE_TEST_SUITE_P(Settings, Kernels,
                         testing::Values(Setting{80, 0, false, false}, Setting{80, 7, true, true},
                                         Setting{90, 1, false, true}, Setting{120, 2, false, true}),
                         [](const auto& setting) {
                           return "sm_" + std::to_string(setting.param.architecture) + "_seed_" +
                                  std::to_string(setting.param.seed) + (setting.param.split_warps ? "_split" : "") +
                                  (setting.param.checked ? "_checked" : "");
                         });

int CollatzSteps(int n) {
  int steps = 0;
  for (; n != 1; n = n % 2 == 0 ? n / 2 : 3 * n + 1) steps++;
  return steps;
}

TEST(Features, CallsPointersTablesAndLocalArrays) {
  TestDevice device;
  const Program& program = device.Load(KernelPtx("features"));
  const uint64_t out = device.Allocate(50 * sizeof(int));
  device.RunPacked("Calls", {1}, {64}, Pack(out, 50));
  const std::vector<int> got = device.Download<int>(out, 50);
  constexpr int kWeights[] = {2, 3, 5, 7};
  for (int i = 0; i < 50; i++) {
    const int k = i * 5 % 8;
    EXPECT_EQ(got[i], CollatzSteps(i + 1) * 1000 + ((i + k) % 2 == 0 ? 2 * k : k * k) * kWeights[k % 4]) << i;
  }
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
  const Counters flash = RunFlashAttention(device, "FlashAttention").counters;
  EXPECT_EQ(flash.matrix_waves, flash.matrix_requests);
  device.Load(KernelPtx("row_norm"));
  const Counters norm = RunRowNorm(device, "RowNorm").counters;
  EXPECT_EQ(norm.global_sectors, norm.global_ideal_sectors);
}

// Equal in every run and in every order: what tests may hold against limits.
TEST(Counters, DoNotDependOnTheOrder) {
  std::vector<uint64_t> instructions, sectors;
  for (const uint64_t seed : {0, 5, 6}) {
    TestDevice device;
    device.options.count = true;
    device.options.seed = seed;
    device.Load(KernelPtx("flash_attention"));
    const Counters counters = RunFlashAttention(device, "FlashAttention").counters;
    instructions.push_back(counters.warp_instructions);
    sectors.push_back(counters.global_sectors);
  }
  EXPECT_THAT(instructions, testing::Each(instructions[0]));
  EXPECT_THAT(sectors, testing::Each(sectors[0]));
}

}  // namespace
}  // namespace emulation
