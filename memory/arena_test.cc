#include "memory/arena.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "memory/alignment.h"
#include "memory/testing/fake_memory.h"

namespace headroom::memory {
namespace {

using testing::FakeMemory;
using ::testing::HasSubstr;

TEST(Arena, HandsOutAlignedZeroedDisjointMemory) {
  FakeMemory memory;
  Ledger ledger(1 << 20);
  ledger.SetPlanned(Component::kLlmWeights, 1000);
  ledger.SetPlanned(Component::kLlmWorkspace, 4096);
  ledger.SetPlanned(Component::kAlignment, 200);
  auto arena = Arena::Create(8192, memory, ledger);
  ASSERT_TRUE(arena.ok()) << arena.status();
  const auto first = (*arena)->Take(Component::kLlmWeights, 100);
  const auto second = (*arena)->Take(Component::kLlmWeights, 900);
  const auto third = (*arena)->Take(Component::kLlmWorkspace, 4096);
  ASSERT_TRUE(first.ok() && second.ok() && third.ok());
  char fill = 1;
  for (const DeviceSpan& span : {*first, *second, *third}) {
    EXPECT_TRUE(span.data.IsMultipleOf(kArenaAlignment));
    std::vector<std::byte> bytes(static_cast<size_t>(span.bytes), std::byte{9});
    ASSERT_TRUE(memory.Read(span.data, bytes).ok());
    for (const std::byte byte : bytes) ASSERT_EQ(byte, std::byte{0});
    bytes.assign(bytes.size(), static_cast<std::byte>(fill++));
    ASSERT_TRUE(memory.Write(bytes, span.data).ok());
  }
  fill = 1;
  for (const DeviceSpan& span : {*first, *second, *third}) {
    std::vector<std::byte> bytes(static_cast<size_t>(span.bytes));
    ASSERT_TRUE(memory.Read(span.data, bytes).ok());
    for (const std::byte byte : bytes) ASSERT_EQ(byte, static_cast<std::byte>(fill));
    ++fill;
  }
  EXPECT_EQ((*arena)->taken(), 128 + 960 + 4096);
  const LedgerSnapshot snapshot = ledger.Snapshot();
  EXPECT_EQ(snapshot[Component::kLlmWeights].used, 1000);
  EXPECT_EQ(snapshot[Component::kAlignment].used, 28 + 60);
  EXPECT_EQ(snapshot.total.used, (*arena)->taken());
}

TEST(Arena, StopsWhileMemoryIsTouched) {
  FakeMemory memory;
  Ledger ledger(1 << 20);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_TRUE(absl::IsCancelled(Arena::Create(8192, memory, ledger, stop.get_token()).status()));
}

TEST(Arena, PoolsReportTheirOwnUse) {
  FakeMemory memory;
  Ledger ledger(4096);
  ledger.SetPlanned(Component::kKvPool, 4096);
  auto arena = Arena::Create(4096, memory, ledger);
  ASSERT_TRUE(arena.ok()) << arena.status();
  ASSERT_TRUE((*arena)->Take(Component::kKvPool, 4096).ok());
  EXPECT_EQ(ledger.Snapshot()[Component::kKvPool].reserved, 0);
}

TEST(Arena, RefusesWhatThePlanDoesNotHold) {
  FakeMemory memory;
  Ledger ledger(1 << 20);
  ledger.SetPlanned(Component::kLlmWeights, 128);
  ledger.SetPlanned(Component::kLlmWorkspace, 8192);
  ledger.SetPlanned(Component::kAlignment, 10);
  auto arena = Arena::Create(4096, memory, ledger);
  ASSERT_TRUE(arena.ok()) << arena.status();
  const auto message = [&](Component component, int64_t bytes) {
    const auto taken = (*arena)->Take(component, bytes);
    EXPECT_EQ(taken.status().code(), absl::StatusCode::kResourceExhausted);
    return std::string(taken.status().message());
  };
  EXPECT_THAT(message(Component::kLlmWeights, 129), HasSubstr("llm weights asks for 129 bytes, its plan has 128 left"));
  EXPECT_THAT(message(Component::kLlmWorkspace, 4097), HasSubstr("of 4096"));
  EXPECT_THAT(message(Component::kLlmWorkspace, 65), HasSubstr("63 of alignment"));
  EXPECT_THAT(message(Component::kLlmWorkspace, -1), HasSubstr("asks for -1"));
  EXPECT_THAT(message(Component::kVisionWeights, 64), HasSubstr("its plan has 0 left"));
  EXPECT_EQ((*arena)->taken(), 0);
  EXPECT_EQ(ledger.Snapshot().total.reserved, 0);
  ASSERT_TRUE((*arena)->Take(Component::kLlmWorkspace, 4032).ok());
  EXPECT_THAT(message(Component::kLlmWeights, 128), HasSubstr("64 are left"));
  EXPECT_TRUE((*arena)->Take(Component::kLlmWeights, 64).ok());
}

TEST(Arena, RefusesMoreThanTheDeviceHas) {
  FakeMemory memory(4096);
  Ledger ledger(INT64_MAX);
  EXPECT_EQ(Arena::Create(4097, memory, ledger).status().code(), absl::StatusCode::kResourceExhausted);
  {
    const auto arena = Arena::Create(4096, memory, ledger);
    EXPECT_TRUE(arena.ok()) << arena.status();
  }
  EXPECT_TRUE(Arena::Create(4096, memory, ledger).ok()) << "an arena gives back what it took";
}

TEST(Arena, ThreadsShareItWithoutOverlap) {
  FakeMemory memory;
  constexpr int kThreads = 4, kTakes = 200;
  Ledger ledger(1 << 20);
  ledger.SetPlanned(Component::kLlmWorkspace, kThreads * kTakes * 40);
  ledger.SetPlanned(Component::kAlignment, kThreads * kTakes * 24);
  auto arena = Arena::Create(kThreads * kTakes * 64, memory, ledger);
  ASSERT_TRUE(arena.ok()) << arena.status();
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::vector<DeviceSpan> mine;
      for (int i = 0; i < kTakes; ++i) {
        const auto taken = (*arena)->Take(Component::kLlmWorkspace, 40);
        if (!taken.ok()) {
          ++wrong;
          continue;
        }
        wrong += memory.Write(std::vector<std::byte>(40, static_cast<std::byte>(t + 1)), taken->data).ok() ? 0 : 1;
        mine.push_back(*taken);
      }
      for (const DeviceSpan& span : mine) {
        std::vector<std::byte> bytes(static_cast<size_t>(span.bytes));
        wrong += memory.Read(span.data, bytes).ok() ? 0 : 1;
        for (const std::byte byte : bytes) wrong += byte != static_cast<std::byte>(t + 1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ((*arena)->taken(), (*arena)->bytes());
}

}  // namespace
}  // namespace headroom::memory
