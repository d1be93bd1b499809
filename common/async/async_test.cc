#include <gtest/gtest.h>

#include <atomic>
#include <semaphore>
#include <thread>
#include <vector>

#include "common/async/event.h"
#include "common/async/executor.h"
#include "common/async/task.h"
#include "common/async/timers.h"

namespace headroom {
namespace {

class AsyncTest : public ::testing::Test {
 protected:
  // Runs `task` to its end and gives its value.
  template <typename T>
  T Get(Task<T> task) {
    std::optional<T> value;
    std::binary_semaphore over(0);
    Await(task, value, over);
    over.acquire();
    return *std::move(value);
  }

  Executor executor_{"test", 2, 4096};
  Timers timers_;

 private:
  template <typename T>
  static Detached Await(Task<T>& task, std::optional<T>& value, std::binary_semaphore& over) {
    value = co_await std::move(task);
    over.release();
  }
};

Task<int> Same(int number) { co_return number; }

Task<int64_t> Sum(int count) {
  int64_t sum = 0;
  for (int i = 0; i < count; ++i) {
    const int number = co_await Same(i);
    sum += number;
  }
  co_return sum;
}

// Whatever the compiler makes of it: a million tasks that end at once must not lie on the stack together.
TEST_F(AsyncTest, TasksThatNeedNoWaitDoNotGrowTheStack) { EXPECT_EQ(Get(Sum(1'000'000)), 499'999'500'000); }

TEST_F(AsyncTest, ValuesMayBeMovedOnly) {
  auto make = []() -> Task<std::unique_ptr<int>> {
    auto made = std::make_unique<int>(7);
    co_return made;
  };
  EXPECT_EQ(*Get(make()), 7);
}

Task<absl::StatusOr<int>> Half(int number) {
  if (number % 2 != 0) co_return absl::InvalidArgumentError("odd");
  co_return number / 2;
}

Task<absl::StatusOr<int>> Quarter(int number) {
  const auto half = co_await Half(number);
  HEADROOM_CO_ASSIGN_OR_RETURN(const int even, half);
  const auto quarter = co_await Half(even);
  HEADROOM_CO_RETURN_IF_ERROR(quarter.status());
  co_return quarter;
}

TEST_F(AsyncTest, ErrorsReturnEarly) {
  EXPECT_EQ(*Get(Quarter(12)), 3);
  EXPECT_EQ(Get(Quarter(6)).status().message(), "odd");
  EXPECT_FALSE(Get(Quarter(5)).ok());
}

Task<int> WaitFor(Event& event, const int& written) {
  co_await event;
  co_return written;
}

// Set before the wait, during it, and at the same moment.
TEST_F(AsyncTest, EventsAreNeverMissed) {
  constexpr int kRounds = 2'000;
  std::atomic<Event*> next = nullptr;
  int written = 0;
  std::thread setter([&] {
    for (int i = 0; i < kRounds; ++i) {
      Event* event = nullptr;
      while ((event = next.exchange(nullptr)) == nullptr) std::this_thread::yield();
      written = i;
      event->Set();
    }
  });
  for (int i = 0; i < kRounds; ++i) {
    Event event(executor_);
    next = &event;
    ASSERT_EQ(Get(WaitFor(event, written)), i);
  }
  setter.join();
}

TEST_F(AsyncTest, SwitchGoesOnInTheExecutor) {
  auto thread = [this]() -> Task<std::thread::id> {
    co_await executor_.Switch();
    co_return std::this_thread::get_id();
  };
  EXPECT_NE(Get(thread()), std::this_thread::get_id());
}

TEST_F(AsyncTest, TimersCallInTheirOrder) {
  std::vector<int> order;
  std::counting_semaphore<3> called(0);
  const TimePoint now = SystemClock().Now();
  auto note = [&](int number) {
    return [&order, &called, number] {
      order.push_back(number);
      called.release();
    };
  };
  const Timer third(timers_, now + std::chrono::milliseconds(60), note(3));
  const Timer first(timers_, now + std::chrono::milliseconds(20), note(1));
  const Timer second(timers_, now + std::chrono::milliseconds(40), note(2));
  { const Timer never(timers_, now + std::chrono::hours(1), note(4)); }
  for (int i = 0; i < 3; ++i) called.acquire();
  EXPECT_EQ(order, (std::vector{1, 2, 3}));
}

TEST_F(AsyncTest, ATimerIsGoneWhenItsDestructorReturns) {
  for (int i = 0; i < 500; ++i) {
    auto alive = std::make_unique<std::atomic<int>>(0);
    {
      const Timer timer(timers_, SystemClock().Now() + std::chrono::microseconds(i), [&] { ++*alive; });
      if (i % 2 == 0) std::this_thread::yield();
    }
    EXPECT_LE(*alive, 1);
    alive.reset();  // a call after this is a use after free
  }
}

TEST_F(AsyncTest, PausesEndInTimeOrByStop) {
  std::stop_source stop;
  EXPECT_TRUE(Get(Pause(executor_, timers_, std::chrono::milliseconds(1), stop.get_token())));
  std::thread stopper([&] { stop.request_stop(); });
  EXPECT_FALSE(Get(Pause(executor_, timers_, std::chrono::hours(1), stop.get_token())));
  stopper.join();
  EXPECT_FALSE(Get(Pause(executor_, timers_, std::chrono::hours(1), stop.get_token()))) << "stopped before";
}

// Many at once on few threads; each waits for another to have its turn.
TEST_F(AsyncTest, ManyWaitAtOnce) {
  constexpr int kMany = 1'000;
  std::atomic<int> ended = 0;
  std::vector<std::unique_ptr<Event>> events;
  for (int i = 0; i < kMany; ++i) events.push_back(std::make_unique<Event>(executor_));
  auto wait = [&](int i) -> Detached {
    Event& mine = *events[static_cast<size_t>(i)];
    co_await mine;
    if (i > 0) events[static_cast<size_t>(i - 1)]->Set();
    ++ended;
  };
  for (int i = 0; i < kMany; ++i) wait(i);
  EXPECT_EQ(ended, 0);
  events.back()->Set();
  while (ended < kMany) std::this_thread::yield();
}

}  // namespace
}  // namespace headroom
