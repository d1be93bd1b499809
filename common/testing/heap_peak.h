// How much memory a piece of code takes from operator new, for tests of bounds. The program that links this has its own
// operator new and delete, which count.
#pragma once

#include <cstdint>

namespace headroom {

// One at a time. Counts all threads.
class HeapPeak {
 public:
  HeapPeak();
  // The most that was held at one moment since then, beyond what was held at the start. Bytes.
  int64_t bytes() const;
  // What is held now, beyond what was held at the start.
  int64_t held_bytes() const;

 private:
  int64_t start_;
};

}  // namespace headroom
