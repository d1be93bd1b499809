// Where coroutines run: a pool of threads that each takes the next one that is ready to go on.
#pragma once

#include <coroutine>
#include <string>

#include "common/check.h"
#include "common/thread_pool.h"

namespace headroom {

// Thread-safe.
class Executor {
 public:
  // `waiting_max`: coroutines that may be ready at once. Each is in the queue at most once, so that their number bounds
  // it: more is a programmer error.
  Executor(const std::string& name, int threads, size_t waiting_max) : pool_(name, threads, waiting_max) {}

  void Post(std::coroutine_handle<> coroutine) {
    const bool accepted = pool_.TrySubmit([coroutine] { coroutine.resume(); });
    HEADROOM_CHECK(accepted) << "more coroutines than the executor was made for";
  }

  // co_await executor.Switch(): the coroutine goes on in one of its threads.
  struct SwitchAwaiter {
    bool await_ready() { return false; }
    void await_suspend(std::coroutine_handle<> coroutine) { executor.Post(coroutine); }
    void await_resume() {}

    Executor& executor;
  };
  SwitchAwaiter Switch() { return {*this}; }

  // Runs what is queued, then joins; all coroutines must be over or on their last step.
  void Shutdown() { pool_.Shutdown(); }

 private:
  ThreadPool pool_;
};

}  // namespace headroom
