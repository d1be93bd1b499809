// A mutex that serves who came first: whoever asks again and again without a pause (decode) leaves room between two of
// its turns for those who wait (an encoder), who wait for one turn of each of the others at most. std::mutex promises
// nothing of the kind.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace headroom {

// Thread-safe. Called by: std::unique_lock and the like, for whom it is a mutex.
class Turns {
 public:
  void lock() {
    std::unique_lock lock(mutex_);
    const uint64_t mine = next_++;
    changed_.wait(lock, [&] { return now_ == mine; });
  }
  void unlock() {
    {
      const std::lock_guard lock(mutex_);
      ++now_;
    }
    changed_.notify_all();
  }
  // For tests: who is inside, and who waits.
  uint64_t present() {
    const std::lock_guard lock(mutex_);
    return next_ - now_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t next_ = 0;  // number of who comes next
  uint64_t now_ = 0;   // of who is inside, or would be
};

}  // namespace headroom
