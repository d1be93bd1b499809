// What another thread says, for a test that waits for it.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace headroom::gateway {

// Something that happens on another thread, and what it said.
template <typename T>
class Said {
 public:
  std::function<void(T)> Say() {
    return [shared = shared_](T value) {
      std::lock_guard lock(shared->mutex);
      shared->values.push_back(value);
      shared->changed.notify_all();
    };
  }
  T Await() {
    std::unique_lock lock(shared_->mutex);
    EXPECT_TRUE(shared_->changed.wait_for(lock, std::chrono::seconds(60), [this] { return !shared_->values.empty(); }));
    return shared_->values.empty() ? T() : shared_->values.front();
  }
  size_t count() {
    std::lock_guard lock(shared_->mutex);
    return shared_->values.size();
  }

 private:
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<T> values;
  };
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace headroom::gateway
