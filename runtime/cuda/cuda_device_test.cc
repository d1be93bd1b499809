// What only the CUDA device promises: its memory and its lane, on the card that HEADROOM_TEST_DEVICE=cuda finds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "runtime/testing.h"

namespace headroom::runtime {
namespace {

using ::testing::HasSubstr;

using CudaDeviceTest = OpTest;

TEST_F(CudaDeviceTest, GivesAlignedZeroedMemoryThatKeepsWhatIsWritten) {
  memory::DeviceMemory& memory = device().memory();
  for (const int64_t bytes : {1, 100, 5000, 9 << 20}) {
    const auto reserved = memory.Reserve(bytes, {});
    ASSERT_TRUE(reserved.ok()) << reserved.status();
    EXPECT_EQ(reserved->bytes, bytes);
    EXPECT_TRUE(reserved->data.IsMultipleOf(64));
    std::vector<std::byte> read(static_cast<size_t>(bytes), std::byte{7});
    ASSERT_TRUE(memory.Read(reserved->data, read).ok());
    EXPECT_TRUE(std::all_of(read.begin(), read.end(), [](std::byte b) { return b == std::byte{0}; }));
    std::vector<std::byte> written(static_cast<size_t>(bytes));
    for (size_t i = 0; i < written.size(); ++i) written[i] = static_cast<std::byte>(i * 7 + i / 4096);
    ASSERT_TRUE(memory.Write(written, reserved->data).ok());
    ASSERT_TRUE(memory.Read(reserved->data, read).ok());
    EXPECT_EQ(read, written) << bytes;
    memory.Release(*reserved);
  }
}

// Pieces of every size around that of a pinned buffer, one after the other without a wait.
TEST_F(CudaDeviceTest, PiecesThatAreWrittenSoonAreThereInTheEnd) {
  memory::DeviceMemory& memory = device().memory();
  const std::vector<int64_t> sizes = {1, 5 << 20, 64, 4 << 20, 1 << 20, 1 << 20, 1 << 20, (8 << 20) + 3, 7};
  const int64_t all = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
  const auto reserved = memory.Reserve(all, {});
  ASSERT_TRUE(reserved.ok()) << reserved.status();
  std::vector<std::byte> want, piece;
  for (const int64_t size : sizes) {
    piece.resize(static_cast<size_t>(size));
    for (size_t i = 0; i < piece.size(); ++i) piece[i] = static_cast<std::byte>(want.size() + i * 3 + i / 997);
    ASSERT_TRUE(memory.WriteSoon(piece, reserved->data + static_cast<int64_t>(want.size())).ok());
    want.insert(want.end(), piece.begin(), piece.end());
    std::fill(piece.begin(), piece.end(), std::byte{0xEE});  // it is the caller's again
  }
  ASSERT_TRUE(memory.Finish().ok());
  std::vector<std::byte> got(want.size());
  ASSERT_TRUE(memory.Read(reserved->data, got).ok());
  EXPECT_TRUE(got == want);
  memory.Release(*reserved);
}

TEST_F(CudaDeviceTest, RefusesMoreThanTheCardHas) {
  memory::DeviceMemory& memory = device().memory();
  const auto reserved = memory.Reserve(int64_t{1} << 45, {});
  EXPECT_EQ(reserved.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(reserved.status().message()), HasSubstr("the card has"));
  EXPECT_EQ(memory.Reserve(0, {}).status().code(), absl::StatusCode::kInvalidArgument);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_TRUE(absl::IsCancelled(memory.Reserve(64, stop.get_token()).status()));
  EXPECT_TRUE(device().Wait().ok()) << "a refusal leaves no error on the card";
}

// More bytes, and more results, than pinned memory holds at a time.
TEST_F(CudaDeviceTest, CopiesOfTheLaneKeepTheirOrderWhateverTheirSize) {
  const int64_t count = 5 << 20;  // 20 MiB of f32
  std::vector<float> up(static_cast<size_t>(count)), down(up.size(), -1.0f);
  std::iota(up.begin(), up.end(), 0.0f);
  DeviceBuffer buffer(device(), count * 4);
  ASSERT_TRUE(device().Upload(std::as_bytes(std::span(up)), buffer.data()).ok());
  ASSERT_TRUE(device().Download(buffer.data(), std::as_writable_bytes(std::span(down))).ok());
  ASSERT_TRUE(device().Wait().ok());
  EXPECT_EQ(down, up);

  std::vector<float> ones(600, -1.0f);
  for (size_t i = 0; i < ones.size(); ++i) {  // each result before the next value overwrites it
    const float value = static_cast<float>(i);
    ASSERT_TRUE(device().Upload(std::as_bytes(std::span(&value, 1)), buffer.data()).ok());
    ASSERT_TRUE(device().Download(buffer.data(), std::as_writable_bytes(std::span(ones).subspan(i, 1))).ok());
  }
  ASSERT_TRUE(device().Wait().ok());
  for (size_t i = 0; i < ones.size(); ++i) ASSERT_EQ(ones[i], static_cast<float>(i));
}

TEST_F(CudaDeviceTest, SaysWhatItIs) {
  EXPECT_THAT(device().Describe(), HasSubstr("compute capability"));
  // A second device on the same card is another lane of the same memory.
  const auto other = CreateTestDevice(TestDeviceOptions());
  ASSERT_TRUE(other.ok()) << other.status();
}

}  // namespace
}  // namespace headroom::runtime
