// A fixed number of threads behind a bounded queue: work that may block (calls to other services, decoding) runs here
// and never on gRPC's threads.
#pragma once

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "common/bounded_queue.h"

namespace headroom {

class ThreadPool {
 public:
  // Threads are named `name` in debuggers and /proc (15 characters at most). At most `queue_limit` tasks wait.
  ThreadPool(const std::string& name, int threads, size_t queue_limit);
  // Runs what is queued, then joins.
  ~ThreadPool() { Shutdown(); }
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // False when the queue is full or the pool is shutting down; the task is then not run.
  bool TrySubmit(std::function<void()> task) { return tasks_.TryPush(std::move(task)); }

  // No new tasks; returns when all queued ones have run. Must not be called from a task.
  void Shutdown();

 private:
  BoundedQueue<std::function<void()>> tasks_;
  std::vector<std::thread> threads_;
};

}  // namespace headroom
