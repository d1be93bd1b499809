// Time is injected so that expiry, heartbeats and timeouts can be tested without waiting. Monotonic: never the wall
// clock.
#pragma once

#include <atomic>
#include <chrono>

namespace headroom {

using TimePoint = std::chrono::steady_clock::time_point;
using Duration = std::chrono::steady_clock::duration;

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint Now() = 0;
};

// The machine's monotonic clock; lives as long as the process.
Clock& SystemClock();

// Stands still until told otherwise.
class FakeClock : public Clock {
 public:
  TimePoint Now() override { return TimePoint(Duration(ticks_.load())); }
  void Advance(Duration by) { ticks_.fetch_add(by.count()); }

 private:
  // Starts well after zero: code that subtracts from Now() must not see negative times in tests only.
  std::atomic<Duration::rep> ticks_ = std::chrono::duration_cast<Duration>(std::chrono::hours(1)).count();
};

inline int64_t Milliseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}
inline double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace headroom
