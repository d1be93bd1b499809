// Who uses a card beside this process. The emulated card has others on it (runtime/CMakeLists.txt says how much), whose
// processes are told with their sizes, without, or not at all.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "runtime/testing.h"

namespace headroom::runtime {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kOthers = 64 * kMiB;

using MonitorTest = OpTest;

bool SizesAreTold() { return std::getenv("EMULATED_NVML_PROCESSES") == nullptr; }

TEST_F(MonitorTest, TellsOursFromOthers) {
  DeviceMonitor* const monitor = device().monitor();
  ASSERT_NE(monitor, nullptr);
  const auto before = monitor->Use();
  ASSERT_TRUE(before.ok()) << before.status();
  EXPECT_EQ(before->own_is_told, SizesAreTold());
  EXPECT_EQ(before->total_bytes, 1024 * kMiB);
  EXPECT_EQ(before->other_bytes, kOthers);
  EXPECT_GT(before->own_bytes, 0) << "a context is on the card";
  EXPECT_EQ(before->free_bytes + before->own_bytes + before->other_bytes, before->total_bytes);

  constexpr int64_t kReserved = 32 * kMiB;
  const auto reserved = device().memory().Reserve(kReserved, {});
  ASSERT_TRUE(reserved.ok()) << reserved.status();
  const auto during = monitor->Use();
  ASSERT_TRUE(during.ok()) << during.status();
  EXPECT_EQ(during->own_bytes, before->own_bytes + kReserved);
  EXPECT_EQ(during->free_bytes, before->free_bytes - kReserved);
  EXPECT_EQ(during->other_bytes, kOthers);

  device().memory().Release(*reserved);
  const auto after = monitor->Use();
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->own_bytes, before->own_bytes);
  EXPECT_EQ(monitor->WaitForFault(std::chrono::milliseconds(1)), "");
}

}  // namespace
}  // namespace headroom::runtime
