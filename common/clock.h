// Time is injected so that expiry, heartbeats and timeouts can be tested without waiting. Monotonic: never the wall
// clock.
#pragma once

#include <chrono>
#include <cstdint>

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

inline int64_t Milliseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}
inline double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace headroom
