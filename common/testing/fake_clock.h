#pragma once

#include <atomic>
#include <chrono>

#include "common/clock.h"

namespace headroom {

// Stands still until told otherwise. Thread-safe.
class FakeClock : public Clock {
 public:
  TimePoint Now() override { return TimePoint(Duration(ticks_.load())); }
  void Advance(Duration by) { ticks_.fetch_add(by.count()); }

 private:
  // Starts well after zero: code that subtracts from Now() must not see negative times in tests only.
  std::atomic<Duration::rep> ticks_ = std::chrono::duration_cast<Duration>(std::chrono::hours(1)).count();
};

}  // namespace headroom
