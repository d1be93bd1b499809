#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "common/bounded_queue.h"
#include "common/check.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/random.h"
#include "common/testing/fake_clock.h"
#include "common/testing/seeded_random.h"
#include "common/thread_pool.h"

namespace headroom {
namespace {

TEST(BoundedQueueTest, RefusesAtBoundPlusOne) {
  BoundedQueue<int> queue(2);
  EXPECT_TRUE(queue.TryPush(1));
  EXPECT_TRUE(queue.TryPush(2));
  EXPECT_FALSE(queue.TryPush(3));
  EXPECT_EQ(queue.Pop(), 1);
  EXPECT_TRUE(queue.TryPush(3));
}

TEST(BoundedQueueTest, ClosedQueueGivesWhatItHolds) {
  BoundedQueue<int> queue(2);
  EXPECT_TRUE(queue.TryPush(1));
  queue.Close();
  EXPECT_FALSE(queue.TryPush(2));
  EXPECT_EQ(queue.Pop(), 1);
  EXPECT_EQ(queue.Pop(), std::nullopt);
}

TEST(BoundedQueueTest, NothingIsLostOrDoubled) {
  BoundedQueue<int> queue(8);
  constexpr int kItems = 10'000;
  std::atomic<int64_t> sum = 0;
  std::vector<std::thread> consumers;
  for (int i = 0; i < 3; ++i) {
    consumers.emplace_back([&] {
      while (auto item = queue.Pop()) sum += *item;
    });
  }
  for (int i = 1; i <= kItems; ++i) {
    while (!queue.TryPush(int{i})) std::this_thread::yield();
  }
  queue.Close();
  for (std::thread& consumer : consumers) consumer.join();
  EXPECT_EQ(sum, int64_t{kItems} * (kItems + 1) / 2);
}

TEST(ThreadPoolTest, RunsWhatWasAcceptedBeforeShutdown) {
  std::atomic<int> ran = 0;
  int accepted = 0;
  {
    ThreadPool pool("test", 2, 4);
    for (int i = 0; i < 100; ++i) accepted += pool.TrySubmit([&] { ++ran; }) ? 1 : 0;
    pool.Shutdown();
    EXPECT_FALSE(pool.TrySubmit([&] { ++ran; }));
  }
  EXPECT_EQ(ran, accepted);
  EXPECT_GE(accepted, 4);
}

TEST(FakeClockTest, StandsStill) {
  FakeClock clock;
  const TimePoint start = clock.Now();
  EXPECT_EQ(clock.Now(), start);
  clock.Advance(std::chrono::milliseconds(5));
  EXPECT_EQ(Milliseconds(clock.Now() - start), 5);
}

TEST(RandomTest, SeedReplays) {
  SeededRandom a(7);
  SeededRandom b(7);
  SeededRandom c(8);
  const uint64_t first = a.Next();
  EXPECT_EQ(first, b.Next());
  EXPECT_NE(first, c.Next());
  EXPECT_NE(SystemRandom().Next(), SystemRandom().Next());
}

TEST(LogTest, QuotesWhatNeedsIt) {
  ::testing::internal::CaptureStderr();
  Log(LogLevel::kWarning, "test", "two words")
      .With("plain", "x")
      .With("text", "a \"b\"\n")
      .With("count", 3)
      .With("on", true);
  const std::string line = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(line.find(" warning test \"two words\" plain=x text=\"a \\\"b\\\"\\x0a\" count=3 on=true\n"),
            std::string::npos)
      << line;
}

TEST(LogTest, DropsBelowTheLevel) {
  ::testing::internal::CaptureStderr();
  Log(LogLevel::kDebug, "test", "quiet").With("a", 1);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST(CheckDeathTest, SaysWhatFailed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const int blocks = -1;
  EXPECT_DEATH(HEADROOM_CHECK(blocks >= 0) << "blocks=" << blocks, "blocks >= 0 blocks=-1");
}

}  // namespace
}  // namespace headroom
