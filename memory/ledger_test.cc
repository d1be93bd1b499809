#include "memory/ledger.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace headroom::memory {
namespace {

TEST(Component, NamesAreUnique) {
  std::set<std::string> titles, labels;
  for (const Component component : AllComponents()) {
    EXPECT_TRUE(titles.insert(ComponentTitle(component)).second);
    EXPECT_TRUE(labels.insert(ComponentLabel(component)).second);
  }
  EXPECT_EQ(titles.size(), static_cast<size_t>(kComponents));
  EXPECT_FALSE(InArena(Component::kHeadroom));
  EXPECT_TRUE(InArena(Component::kAlignment));
  EXPECT_TRUE(IsPool(Component::kKvPool));
}

TEST(Ledger, CountsReservedUsedAndHighWater) {
  Ledger ledger(100);
  ledger.SetPlanned(Component::kKvPool, 60);
  ledger.SetPlanned(Component::kHeadroom, 40);
  ledger.AddReserved(Component::kKvPool, 50);
  ledger.AddUsed(Component::kKvPool, 30);
  ledger.AddUsed(Component::kKvPool, -20);
  ledger.AddReserved(Component::kKvPool, 10);
  const LedgerSnapshot snapshot = ledger.Snapshot();
  EXPECT_EQ(snapshot.device_bytes, 100);
  EXPECT_EQ(snapshot.total.planned, 100);
  EXPECT_EQ(snapshot[Component::kKvPool].reserved, 60);
  EXPECT_EQ(snapshot[Component::kKvPool].used, 10);
  EXPECT_EQ(snapshot[Component::kKvPool].high_water, 30);
  EXPECT_EQ(snapshot.total.used, 10);
  EXPECT_EQ(snapshot.total.high_water, 30);
}

TEST(Ledger, TotalHighWaterIsOfOneMoment) {
  Ledger ledger(100);
  for (const Component component : {Component::kKvPool, Component::kLlmWorkspace}) {
    ledger.SetPlanned(component, 50);
    ledger.AddReserved(component, 50);
    ledger.AddUsed(component, 50);
    ledger.AddUsed(component, -50);
  }
  EXPECT_EQ(ledger.Snapshot().total.high_water, 50);
}

TEST(LedgerDeathTest, BrokenPromisesAbort) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Ledger ledger(100);
  ledger.SetPlanned(Component::kKvPool, 60);
  ledger.AddReserved(Component::kKvPool, 50);
  ledger.AddUsed(Component::kKvPool, 40);
  EXPECT_DEATH(ledger.AddReserved(Component::kKvPool, 11), "reserved would be 61");
  EXPECT_DEATH(ledger.AddReserved(Component::kKvPool, -11), "reserved would be 39");
  EXPECT_DEATH(ledger.AddUsed(Component::kKvPool, 11), "used would be 51");
  EXPECT_DEATH(ledger.AddUsed(Component::kKvPool, -41), "used would be -1");
  EXPECT_DEATH(ledger.SetPlanned(Component::kHeadroom, 41), "on a device of 100");
  EXPECT_DEATH(ledger.SetPlanned(Component::kKvPool, 49), "below the reserved");
  EXPECT_DEATH(ledger.AddReserved(Component::kKvPool, INT64_MAX), "");
}

// Threads reserve, use and give back; a reader sees every snapshot in order and all is back to zero at the end.
TEST(Ledger, ManyThreads) {
  constexpr int kThreads = 4, kRounds = 4000;
  Ledger ledger(1200);
  ledger.SetPlanned(Component::kKvPool, kThreads * 200);
  ledger.SetPlanned(Component::kEmbeddingStore, kThreads * 100);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&ledger, t] {
      std::mt19937 random(t);
      for (int i = 0; i < kRounds; ++i) {
        const bool pool = random() % 2;
        const Component component = pool ? Component::kKvPool : Component::kEmbeddingStore;
        const int64_t bytes = random() % (pool ? 201 : 101);  // a thread's share of the plan, and no more
        ledger.AddReserved(component, bytes);
        ledger.AddUsed(component, bytes / 2);
        ledger.AddUsed(component, -(bytes / 2));
        ledger.AddReserved(component, -bytes);
      }
    });
  }
  for (int i = 0; i < kRounds; ++i) {
    const LedgerSnapshot snapshot = ledger.Snapshot();
    int64_t reserved = 0, used = 0;
    for (const LedgerLine& line : snapshot.lines) {
      ASSERT_LE(line.used, line.reserved);
      ASSERT_LE(line.reserved, line.planned);
      ASSERT_LE(line.used, line.high_water);
      reserved += line.reserved;
      used += line.used;
    }
    ASSERT_EQ(reserved, snapshot.total.reserved);
    ASSERT_EQ(used, snapshot.total.used);
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ledger.Snapshot().total.reserved, 0);
  EXPECT_EQ(ledger.Snapshot().total.used, 0);
}

}  // namespace
}  // namespace headroom::memory
