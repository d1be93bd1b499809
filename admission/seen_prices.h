// What one decision pass has learned of prices and holds for others too, so that ten thousand requests that wait for
// the same are looked at once. Pure; not thread-safe.
#pragma once

#include <cstddef>
#include <vector>

#include "admission/fair_queue.h"

namespace headroom::admission {

// Both ask for the same roles, and `a` in no dimension and no length for more than `b`: where `b` fits, so does `a`.
bool IsWithin(const Price& a, const Price& b);

class SeenPrices {
 public:
  // Notes that all that must be known of it is known. It must stay in the queue for as long as this is asked.
  void Note(const Waiting& waiting);
  // Whether one of those noted asks the same workers for no less, or for no more.
  bool HasAtLeast(const Waiting& waiting) const;
  bool HasAtMost(const Waiting& waiting) const;

 private:
  // More kinds are looked at one by one.
  static constexpr size_t kSeenMax = 16;

  std::vector<const Waiting*> seen_;
  size_t next_ = 0;  // that gives way when it is full
};

}  // namespace headroom::admission
