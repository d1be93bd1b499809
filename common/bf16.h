// Numbers in bfloat16: the upper half of a float.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace headroom {

inline float FromBf16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

// To the nearest, ties to even. What is not a number stays that, and above the largest comes infinity.
inline uint16_t ToBf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return static_cast<uint16_t>((bits >> 16) | 0x40);  // a bit that survives the cut
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

}  // namespace headroom
