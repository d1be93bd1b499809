// A card that breaks. How is said by EMULATED_GPU_FAULTS (runtime/CMakeLists.txt).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "runtime/device.h"
#include "runtime/ops/elementwise.h"
#include "runtime/testing/test_device.h"

namespace headroom::runtime {
namespace {

using ::testing::HasSubstr;

TEST(BrokenCardTest, TheMonitorSaysWhatHappened) {
  const std::string fault = std::getenv("EMULATED_GPU_FAULTS");
  const auto created = CreateTestDevice(TestDeviceOptions());
  ASSERT_TRUE(created.ok()) << created.status();
  Device& device = **created;
  ASSERT_NE(device.monitor(), nullptr);
  const auto reserved = device.memory().Reserve(4096, {});
  ASSERT_TRUE(reserved.ok()) << reserved.status();
  const Matrix rows = {reserved->data, DType::kF32, 1, 1024, 1024};
  static_cast<void>(GeluTanh(device, {.x = rows, .y = rows}));
  EXPECT_FALSE(device.Wait().ok());
  std::string what;
  // An ECC error shows as an XID, too, and either may come first.
  for (int i = 0; what.empty() && i < 60; ++i) what = device.monitor()->WaitForFault(std::chrono::seconds(1));
  EXPECT_THAT(what, fault.starts_with("xid") ? HasSubstr("XID 79") : HasSubstr("memory error"));
  if (fault.starts_with("xid")) {
    EXPECT_FALSE(device.monitor()->Use().ok());
  }
}

}  // namespace
}  // namespace headroom::runtime
