#include "gateway/host_budget.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "common/error_details.h"

namespace headroom::gateway {
namespace {

TEST(HostBudgetTest, SharesComeBack) {
  HostBudget budget(100);
  {
    auto share = budget.Take(60);
    ASSERT_TRUE(share.ok());
    EXPECT_EQ(budget.used_bytes(), 60);
    EXPECT_EQ(ReasonOf(budget.Take(41).status()), RefusalReason::kGatewayFull);
    EXPECT_TRUE(budget.Take(40).ok());
  }
  EXPECT_EQ(budget.used_bytes(), 0);
}

TEST(HostBudgetTest, WhatCanNeverFitSaysSo) {
  HostBudget budget(100);
  EXPECT_EQ(ReasonOf(budget.Take(101).status()), RefusalReason::kNeverFits);
  EXPECT_TRUE(budget.Take(100).ok());
}

TEST(HostBudgetTest, MovingKeepsOneOwner) {
  HostBudget budget(10);
  auto first = budget.Take(4);
  ASSERT_TRUE(first.ok());
  HostBudget::Share second = *std::move(first);
  EXPECT_EQ(budget.used_bytes(), 4);
  second = HostBudget::Share();
  EXPECT_EQ(budget.used_bytes(), 0);
}

TEST(HostBudgetTest, NeverOverspentByManyThreads) {
  HostBudget budget(8);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&budget] {
      for (int j = 0; j < 2000; ++j) {
        const auto share = budget.Take(3);
        EXPECT_LE(budget.used_bytes(), 8);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(budget.used_bytes(), 0);
}

}  // namespace
}  // namespace headroom::gateway
