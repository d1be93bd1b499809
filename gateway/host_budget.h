// Host memory that open requests may hold in the gateway (their messages, and what tokenizing needs), as a budget of
// its own: a request takes its bytes before it is worked on and gives them back on every way out.
#pragma once

#include <cstdint>
#include <mutex>
#include <utility>

#include "common/status.h"

namespace headroom::gateway {

// Thread-safe.
class HostBudget {
 public:
  explicit HostBudget(int64_t capacity_bytes) : capacity_bytes_(capacity_bytes) {}

  // Gives its bytes back when it dies. Movable.
  class Share {
   public:
    Share() = default;
    Share(HostBudget* budget, int64_t bytes) : budget_(budget), bytes_(bytes) {}
    Share(Share&& other) noexcept
        : budget_(std::exchange(other.budget_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
    Share& operator=(Share&& other) noexcept {
      std::swap(budget_, other.budget_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }
    // Of the same budget: both at once from now on.
    void Add(Share other) {
      if (budget_ == nullptr) budget_ = other.budget_;
      bytes_ += std::exchange(other.bytes_, 0);
    }
    ~Share() {
      if (budget_ != nullptr) budget_->Return(bytes_);
    }

   private:
    HostBudget* budget_ = nullptr;
    int64_t bytes_ = 0;
  };

  // Refused as GATEWAY_FULL when they are not free now, as NEVER_FITS when they never can be. `bytes` ≥ 0.
  absl::StatusOr<Share> Take(int64_t bytes);

  int64_t used_bytes() const {
    std::lock_guard lock(mutex_);
    return used_bytes_;
  }
  int64_t capacity_bytes() const { return capacity_bytes_; }

 private:
  void Return(int64_t bytes) {
    std::lock_guard lock(mutex_);
    used_bytes_ -= bytes;
  }

  const int64_t capacity_bytes_;
  mutable std::mutex mutex_;
  int64_t used_bytes_ = 0;
};

}  // namespace headroom::gateway
