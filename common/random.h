// Randomness is injected so that a failing test can be replayed from its printed seed.
#pragma once

#include <cstdint>

namespace headroom {

class Random {
 public:
  virtual ~Random() = default;
  // 64 uniform bits.
  virtual uint64_t Next() = 0;
  // Uniform in [0, bound); bound > 0. The modulo bias is below 2^-32 for bounds that fit 32 bits.
  uint64_t Below(uint64_t bound) { return Next() % bound; }
};

// The kernel's generator: unpredictable, thread-safe, lives as long as the process. For ids, incarnations and jitter.
Random& SystemRandom();

}  // namespace headroom
