// One thread that calls functions at their times.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <stop_token>
#include <thread>

#include "common/async/event.h"
#include "common/async/task.h"
#include "common/clock.h"

namespace headroom {

class Timer;

// Thread-safe. Timers must be gone before it.
class Timers {
 public:
  Timers();
  ~Timers();

 private:
  friend class Timer;
  struct Entry;
  using Order = std::multimap<TimePoint, Entry*>;

  void Run();

  std::mutex mutex_;
  std::condition_variable wake_;    // the first time has changed, or the end
  std::condition_variable called_;  // a function has returned
  Order order_;
  Entry* calling_ = nullptr;
  bool stopping_ = false;
  std::thread thread_;
};

struct Timers::Entry {
  Order::iterator place;
  bool queued = true;
  std::function<void()> call;
};

// Calls `call`, which must not block, at `time` unless it has died before; its destructor waits while the call runs.
class Timer {
 public:
  Timer(Timers& timers, TimePoint time, std::function<void()> call);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

 private:
  Timers& timers_;
  Timers::Entry entry_;
};

// Goes on after `time`, or as soon as `stop` fires; true unless it did.
Task<bool> Pause(Executor& executor, Timers& timers, Duration time, const std::stop_token& stop);

}  // namespace headroom
