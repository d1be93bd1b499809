#include "common/turns.h"

#include <gtest/gtest.h>

#include <mutex>
#include <thread>
#include <vector>

namespace headroom {
namespace {

TEST(TurnsTest, WhoCameFirstGoesFirst) {
  constexpr uint64_t kWaiting = 3;
  Turns turns;
  std::unique_lock inside(turns);
  std::vector<uint64_t> order;
  std::vector<std::jthread> threads;
  for (uint64_t i = 0; i < kWaiting; ++i) {
    threads.emplace_back([&, i] {
      const std::lock_guard turn(turns);
      order.push_back(i);
    });
    while (turns.present() < i + 2) std::this_thread::yield();
  }
  // Comes again at once, and yet behind them.
  inside.unlock();
  inside.lock();
  EXPECT_EQ(order, (std::vector<uint64_t>{0, 1, 2}));
}

TEST(TurnsTest, OneIsInsideAtATime) {
  Turns turns;
  int64_t count = 0;  // a race for the thread sanitizer to see
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 1000; ++n) {
        const std::lock_guard turn(turns);
        ++count;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(count, 4000);
  EXPECT_EQ(turns.present(), 0u);
}

}  // namespace
}  // namespace headroom
