// Something that happens once, on any thread, and that one coroutine waits for without holding a thread.
#pragma once

#include <atomic>
#include <coroutine>

#include "common/async/executor.h"

namespace headroom {

// co_await event: the coroutine goes on in a thread of `executor` once Set() was called, or at once when it was. Data
// that were written before Set() may be read after the wait.
class Event {
 public:
  explicit Event(Executor& executor) : executor_(executor) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  // The first call counts. From then on the waiting coroutine may destroy this object, so that whoever might be second
  // must be gone before: a Timer, a std::stop_callback.
  void Set() {
    Executor& executor = executor_;
    void* const before = state_.exchange(kSet, std::memory_order_acq_rel);
    if (before != nullptr && before != kSet) executor.Post(std::coroutine_handle<>::from_address(before));
  }
  bool is_set() const { return state_.load(std::memory_order_acquire) == kSet; }
  // For the next time; nobody waits and nobody sets.
  void Reset() { state_.store(nullptr, std::memory_order_relaxed); }

  bool await_ready() const { return is_set(); }
  bool await_suspend(std::coroutine_handle<> coroutine) {
    void* nobody = nullptr;
    return state_.compare_exchange_strong(nobody, coroutine.address(), std::memory_order_acq_rel);
  }
  void await_resume() {}

 private:
  // No coroutine lies here.
  static inline char set_mark_ = 0;
  static inline void* const kSet = &set_mark_;

  Executor& executor_;
  std::atomic<void*> state_ = nullptr;  // nothing, the waiting coroutine, or kSet
};

}  // namespace headroom
