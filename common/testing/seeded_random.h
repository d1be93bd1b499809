#pragma once

#include <cstdint>
#include <cstdlib>

#include "common/random.h"

namespace headroom {

// SplitMix64 (Steele, Lea, Flood 2014). Reproducible; not thread-safe.
class SeededRandom : public Random {
 public:
  explicit SeededRandom(uint64_t seed) : state_(seed) {}
  uint64_t Next() override {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

// A new seed each time; HEADROOM_TEST_SEED replays one that a failure printed.
inline uint64_t TestSeed() {
  const char* const given = std::getenv("HEADROOM_TEST_SEED");
  return given == nullptr ? SystemRandom().Next() : std::strtoull(given, nullptr, 10);
}

}  // namespace headroom
