// A card whose kernel touched what it must not: nothing works on it any more in this process. A program of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "runtime/device.h"
#include "runtime/ops/elementwise.h"
#include "runtime/testing/test_device.h"

namespace headroom::runtime {
namespace {

using ::testing::HasSubstr;

TEST(LostCardTest, TheErrorNamesTheOperationsAndStays) {
  const auto created = CreateTestDevice(TestDeviceOptions());
  ASSERT_TRUE(created.ok()) << created.status();
  Device& device = **created;
  const auto reserved = device.memory().Reserve(4096, {});
  ASSERT_TRUE(reserved.ok()) << reserved.status();
  const Matrix rows = {reserved->data, DType::kF32, 1, 1024, 1024};
  Matrix beyond = rows;
  beyond.data = beyond.data + (int64_t{1} << 40);
  ASSERT_TRUE(GeluTanh(device, {.x = rows, .y = rows}).ok());
  ASSERT_TRUE(device.Wait().ok());
  ASSERT_TRUE(GeluTanh(device, {.x = rows, .y = rows}).ok());
  static_cast<void>(Convert(device, {.x = rows, .y = beyond}));
  for (int i = 0; i < 2; ++i) {
    const absl::Status status = device.Wait();
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
    EXPECT_THAT(std::string(status.message()), HasSubstr("2 operations from GeluTanh to Convert"));
  }
  // The driver tells of it as well, as of any program that does such a thing; the card itself is well.
  ASSERT_NE(device.monitor(), nullptr);
  EXPECT_EQ(device.monitor()->WaitForFault(std::chrono::milliseconds(10)), "");
}

}  // namespace
}  // namespace headroom::runtime
