#include "runtime/cpu/cpu_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "memory/host_memory.h"

namespace headroom::runtime::cpu {
namespace {

using ::testing::HasSubstr;

TEST(CpuMemory, GivesAlignedZeroedMemoryThatKeepsWhatIsWritten) {
  CpuMemory memory;
  for (const int64_t bytes : {1, 100, 4096, 5000, 3 << 20}) {
    const auto reserved = memory.Reserve(bytes, {});
    ASSERT_TRUE(reserved.ok()) << reserved.status();
    EXPECT_EQ(reserved->bytes, bytes);
    EXPECT_TRUE(reserved->data.IsMultipleOf(64));
    std::vector<std::byte> read(static_cast<size_t>(bytes), std::byte{7});
    ASSERT_TRUE(memory.Read(reserved->data, read).ok());
    EXPECT_TRUE(std::all_of(read.begin(), read.end(), [](std::byte b) { return b == std::byte{0}; }));
    const std::vector<std::byte> written(static_cast<size_t>(bytes), std::byte{0xab});
    ASSERT_TRUE(memory.Write(written, reserved->data).ok());
    ASSERT_TRUE(memory.Read(reserved->data, read).ok());
    EXPECT_EQ(read, written);
    memory.Release(*reserved);
  }
}

TEST(CpuMemory, StopsWhileMemoryIsTouched) {
  CpuMemory memory;
  std::stop_source stop;
  stop.request_stop();
  EXPECT_TRUE(absl::IsCancelled(memory.Reserve(8192, stop.get_token()).status()));
}

TEST(CpuMemory, RefusesMoreThanTheMachineHas) {
  CpuMemory memory;
  const int64_t available = memory::AvailableHostBytes();
  ASSERT_GT(available, 0);
  if (available < int64_t{1} << 45) {
    const auto reserved = memory.Reserve(int64_t{1} << 45, {});
    EXPECT_EQ(reserved.status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(std::string(reserved.status().message()), HasSubstr("the machine has"));
  }
  EXPECT_EQ(memory.Reserve(0, {}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(memory.Reserve(-1, {}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(memory.Reserve(INT64_MAX, {}).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace headroom::runtime::cpu
