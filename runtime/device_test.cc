#include "runtime/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <span>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "memory/device_address.h"
#include "runtime/cpu/cpu_device.h"
#include "runtime/cpu/processors.h"
#include "runtime/ops/linear.h"
#include "runtime/testing.h"

namespace headroom::runtime {
namespace {

using ::testing::AnyOf, ::testing::HasSubstr;

TEST(DeviceTest, TakesTheFastestInstructionSetAndRefusesAnother) {
  using cpu::Isa, cpu::IsaName;
  const auto present = cpu::DetectIsa();
  if (!present.ok()) GTEST_SKIP() << std::string(present.status().message());
  const auto device = Device::Create({});
  ASSERT_TRUE(device.ok()) << device.status();
  EXPECT_EQ(cpu::CpuDevice::Of(**device).isa(), *present);
  EXPECT_GE(cpu::CpuDevice::Of(**device).threads(), 1);
  EXPECT_TRUE(Device::Create({.isa = IsaName(*present)}).ok());
  for (const Isa isa : {Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16, Isa::kAmx}) {
    if (isa == *present) continue;
    const auto other = Device::Create({.isa = IsaName(isa)});
    EXPECT_EQ(other.status().code(), absl::StatusCode::kFailedPrecondition) << IsaName(isa);
  }
}

TEST(DeviceTest, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(Device::Create({.kind = "tpu"}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Device::Create({.isa = "sse2"}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Device::Create({.threads = -1}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Device::Create({.threads = 1025}).status().code(), absl::StatusCode::kInvalidArgument);
}

// With or without the backend: no machine that runs this test has a card, or it has one and the device works.
TEST(DeviceTest, CudaSaysWhatIsMissing) {
  const auto device = Device::Create({.kind = "cuda"});
  if (device.ok()) GTEST_SKIP() << "there is a card: " << (*device)->Describe();
  EXPECT_THAT(device.status().code(), AnyOf(absl::StatusCode::kUnimplemented, absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(std::string(device.status().message()),
              AnyOf(HasSubstr("has no CUDA backend"), HasSubstr("libraries do not load"), HasSubstr("no card")));
}

TEST(ProcessorsTest, ReadsTheQuotaOfAControlGroup) {
  EXPECT_EQ(cpu::ProcessorsOfQuota("max 100000"), 0);
  EXPECT_EQ(cpu::ProcessorsOfQuota("200000 100000"), 2);
  EXPECT_EQ(cpu::ProcessorsOfQuota("50000 100000"), 1);
  EXPECT_EQ(cpu::ProcessorsOfQuota("250000 100000"), 3);
  for (const char* odd : {"", "x", "100", "-1 100000", "100000 0", "99999999999999999999 1"}) {
    EXPECT_EQ(cpu::ProcessorsOfQuota(odd), 0) << odd;
  }
  EXPECT_GE(cpu::ProcessorsOfProcess(), 1);
}

using LaneTest = OpTest;

// Two roles of one process: steps take turns on the lane, primitives are built and found by both.
TEST_F(LaneTest, TwoThreadsComputeInTurn) {
  const int64_t n = 96, k = 64;
  Storage w(device(), DType::kF32, n, k);
  const std::vector<float> weights = Random(n * k);
  w.Fill(weights);
  const ConstMatrix weight = w.view();
  std::vector<Storage> inputs;
  for (int i = 0; i < 2; ++i) {
    inputs.emplace_back(device(), DType::kF32, 40, k);
    inputs.back().Fill(Random(40 * k));
  }
  std::atomic<int> wrong = 0;
  const auto role = [&](Storage* x) {
    for (int64_t step = 0; step < 20; ++step) {
      const int64_t rows = LinearRows(device(), step % 4 == 0 ? 1 : 9 + step);
      const auto bytes = PrepareLinear(device(), {.n = n, .k = k, .dtype = DType::kF32, .rows_max = rows});
      if (!bytes.ok()) return static_cast<void>(++wrong);
      const DeviceBuffer scratch(device(), *bytes);
      Storage y(device(), DType::kF32, rows, n);
      const auto lane = device().EnterLane();
      const Matrix in = x->view().RowRange(0, rows);
      if (!Linear(device(), {.x = in, .weight = weight, .y = y.view(), .scratch = scratch.span()}).ok()) ++wrong;
      if (!device().Wait().ok()) ++wrong;
      for (int64_t j = 0; j < n; ++j) {
        double want = 0;
        for (int64_t c = 0; c < k; ++c) want += double{x->Get(rows - 1, c)} * weights[static_cast<size_t>(j * k + c)];
        if (!(std::abs(y.Get(rows - 1, j) - want) < 1e-3)) ++wrong;
      }
    }
  };
  std::thread other(role, &inputs[0]);
  role(&inputs[1]);
  other.join();
  EXPECT_EQ(wrong, 0);
}

// Host code that reads or writes through a device address does not compile.
template <typename T>
concept Dereferenced = requires(T p) {
  *p;
};
template <typename T>
concept Indexed = requires(T p) {
  p[0];
};
template <typename T>
concept Pointing = requires(T p) {
  p.operator->();
};
template <typename T>
constexpr bool kOpaque = !Dereferenced<T> && !Indexed<T> && !Pointing<T> && !std::is_convertible_v<T, void*> &&
                         !std::is_constructible_v<void*, T> && !std::is_constructible_v<uintptr_t, T> &&
                         !std::is_constructible_v<T, void*> && !std::is_constructible_v<T, uintptr_t>;
static_assert(Dereferenced<int*> && Indexed<int*> && !kOpaque<float*>);
static_assert(kOpaque<DevicePtr> && kOpaque<DeviceSpan> && kOpaque<DeviceArray<float>> && kOpaque<Matrix> &&
              kOpaque<ConstMatrix>);

TEST(LateDeviceTest, WhatIsAskedForHappensWhenItIsWaitedFor) {
  const auto device = CreateLateDevice({.threads = 1});
  ASSERT_TRUE(device.ok()) << device.status();
  DeviceBuffer buffer(**device, 4 * sizeof(float));
  std::vector<float> up = {1, 2, 3, 4}, down(4, -1.0f);
  ASSERT_TRUE((*device)->Upload(std::as_bytes(std::span(up)), buffer.data()).ok());
  ASSERT_TRUE((*device)->Download(buffer.data(), std::as_writable_bytes(std::span(down))).ok());
  EXPECT_EQ(down, std::vector<float>(4, -1.0f));
  up[0] = 9;  // too early: the lane has not been here
  ASSERT_TRUE((*device)->Wait().ok());
  EXPECT_EQ(down, (std::vector<float>{9, 2, 3, 4}));
}

TEST(LateDeviceDeathTest, AddressesFaultOnTheHost) {
  const auto device = CreateLateDevice({.threads = 1});
  ASSERT_TRUE(device.ok()) << device.status();
  const DeviceBuffer buffer(**device, 64);
  const uint64_t at = memory::DeviceAddress::Of(buffer.data());
  auto* const address = reinterpret_cast<volatile char*>(at);  // NOLINT(performance-no-int-to-ptr)
  EXPECT_DEATH(static_cast<void>(*address), "");
  EXPECT_DEATH(*address = 1, "");
}

TEST(LateDeviceTest, AnErrorComesWithTheWaitAndDropsWhatFollows) {
  const auto device = CreateLateDevice({.threads = 1});
  ASSERT_TRUE(device.ok()) << device.status();
  const int64_t n = 64, k = 64, m = 40;
  const auto bytes = PrepareLinear(**device, {.n = n, .k = k, .dtype = DType::kF32, .rows_max = m});
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  if (*bytes == 0) GTEST_SKIP() << "this product needs no scratch, and fails for want of nothing else";
  Storage x(**device, DType::kF32, m, k), w(**device, DType::kF32, n, k), y(**device, DType::kF32, m, n);
  std::vector<float> down(1, -1.0f);
  ASSERT_TRUE(Linear(**device, {.x = x.view(), .weight = w.view(), .y = y.view()}).ok());
  ASSERT_TRUE((*device)->Download(y.view().data, std::as_writable_bytes(std::span(down))).ok());
  EXPECT_EQ((*device)->Wait().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(down[0], -1.0f);
  EXPECT_TRUE((*device)->Wait().ok()) << "the error was told";
}

}  // namespace
}  // namespace headroom::runtime
