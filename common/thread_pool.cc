#include "common/thread_pool.h"

#include <pthread.h>

namespace headroom {

ThreadPool::ThreadPool(const std::string& name, int threads, size_t queue_limit) : tasks_(queue_limit) {
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this] {
      while (auto task = tasks_.Pop()) (*task)();
    });
    pthread_setname_np(threads_.back().native_handle(), name.substr(0, 15).c_str());
  }
}

void ThreadPool::Shutdown() {
  tasks_.Close();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

}  // namespace headroom
