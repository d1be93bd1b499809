#include "common/async/timers.h"

#include <pthread.h>

namespace headroom {

Timers::Timers() : thread_([this] { Run(); }) { pthread_setname_np(thread_.native_handle(), "timers"); }

Timers::~Timers() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Timers::Run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (order_.empty()) {
      wake_.wait(lock);
      continue;
    }
    const TimePoint first = order_.begin()->first;
    if (SystemClock().Now() < first) {
      wake_.wait_until(lock, first);
      continue;
    }
    calling_ = order_.begin()->second;
    calling_->queued = false;
    order_.erase(order_.begin());
    lock.unlock();
    calling_->call();
    lock.lock();
    calling_ = nullptr;
    called_.notify_all();
  }
}

Timer::Timer(Timers& timers, TimePoint time, std::function<void()> call) : timers_(timers) {
  entry_.call = std::move(call);
  std::lock_guard lock(timers_.mutex_);
  entry_.place = timers_.order_.emplace(time, &entry_);
  if (entry_.place == timers_.order_.begin()) timers_.wake_.notify_all();
}

Timer::~Timer() {
  std::unique_lock lock(timers_.mutex_);
  if (entry_.queued) {
    timers_.order_.erase(entry_.place);
  } else {
    timers_.called_.wait(lock, [this] { return timers_.calling_ != &entry_; });
  }
}

Task<bool> Pause(Executor& executor, Timers& timers, Duration time, const std::stop_token& stop) {
  Event over(executor);
  const Timer timer(timers, SystemClock().Now() + time, [&over] { over.Set(); });
  const std::stop_callback on_stop(stop, [&over] { over.Set(); });
  co_await over;
  co_return !stop.stop_requested();
}

}  // namespace headroom
