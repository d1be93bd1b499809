// Coroutines that hold no thread while they wait: a function that returns Task<T> runs when it is awaited, may wait for
// events (common/async/event.h) and gives its T to who awaits it.
//
// GCC 12 leaks or destroys twice some temporaries of a full expression that contains co_await: give it named values,
// and await nothing inside a larger expression than an initializer.
#pragma once

#include <atomic>
#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

#include "common/status.h"

// As in common/status.h, for coroutines.
#define HEADROOM_CO_RETURN_IF_ERROR(expression)             \
  do {                                                      \
    absl::Status headroom_status_ = (expression);           \
    if (!headroom_status_.ok()) co_return headroom_status_; \
  } while (false)
#define HEADROOM_CO_ASSIGN_OR_RETURN(declaration, expression) \
  HEADROOM_CO_ASSIGN_OR_RETURN_INNER(HEADROOM_CONCAT(headroom_or_, __LINE__), declaration, expression)
#define HEADROOM_CO_ASSIGN_OR_RETURN_INNER(name, declaration, expression) \
  auto name = (expression);                                               \
  if (!name.ok()) co_return name.status();                                \
  declaration = std::move(name).value()

namespace headroom {

// Awaited exactly once, by one coroutine; its frame dies with this object, so arguments by reference must outlive it.
template <typename T>
class [[nodiscard]] Task {
 public:
  struct promise_type;
  using Handle = std::coroutine_handle<promise_type>;

  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (handle_) handle_.destroy();
  }

  struct Awaiter {
    bool await_ready() { return false; }
    // The task runs here up to its first wait. One that needs none lets its caller go on without a suspension, so that
    // a loop over such tasks does not grow the stack. (Symmetric transfer would, where the compiler makes no tail
    // calls: GCC without optimization or with sanitizers.)
    bool await_suspend(std::coroutine_handle<> caller) {
      handle.promise().caller = caller;
      handle.resume();
      return !handle.promise().met.exchange(true, std::memory_order_acq_rel);
    }
    T await_resume() { return std::move(*handle.promise().value); }

    Handle handle;
  };
  Awaiter operator co_await() && { return {handle_}; }

 private:
  explicit Task(Handle handle) : handle_(handle) {}

  Handle handle_;
};

template <typename T>
struct Task<T>::promise_type {
  struct Last {
    bool await_ready() noexcept { return false; }
    void await_suspend(Handle task) noexcept {
      // From here on the caller may destroy the task.
      const std::coroutine_handle<> waiting = task.promise().caller;
      if (task.promise().met.exchange(true, std::memory_order_acq_rel)) waiting.resume();
    }
    void await_resume() noexcept {}
  };

  Task get_return_object() { return Task(Handle::from_promise(*this)); }
  std::suspend_always initial_suspend() noexcept { return {}; }
  Last final_suspend() noexcept { return {}; }
  template <typename U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  void unhandled_exception() noexcept { std::terminate(); }

  std::optional<T> value;
  std::coroutine_handle<> caller;
  // Set by the task's end and by the caller's suspension; who comes second resumes the caller.
  std::atomic<bool> met = false;
};

// A coroutine that nobody awaits: runs at once up to its first wait, and frees itself at its end.
struct Detached {
  struct promise_type {
    Detached get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::terminate(); }
  };
};

}  // namespace headroom
