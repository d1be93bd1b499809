// The small floating-point types as bits, and their conversions: round to nearest even unless said otherwise.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace emulation {

struct Bf16 {
  uint16_t bits;
};
struct F16 {
  uint16_t bits;
};

inline float ToFloat(Bf16 x) { return std::bit_cast<float>(uint32_t{x.bits} << 16); }
inline float ToFloat(F16 x) { return static_cast<float>(std::bit_cast<_Float16>(x.bits)); }
inline float ToFloat(float x) { return x; }

// The smaller and the larger of two numbers, as min and max of PTX have it: -0 is below +0, and one NaN gives the other
// operand; with kNan one NaN is enough.
template <bool kNan, class T>
T Smaller(T a, T b) {
  if (a != a) return kNan ? a : b;
  if (b != b) return kNan ? b : a;
  return a < b || (a == b && std::signbit(a)) ? a : b;
}
template <bool kNan, class T>
T Larger(T a, T b) {
  if (a != a) return kNan ? a : b;
  if (b != b) return kNan ? b : a;
  return a > b || (a == b && std::signbit(b)) ? a : b;
}

// A float whose last bit says that digits were cut off: rounding it again to fewer digits gives what rounding `x` at
// once would have given.
inline float RoundToOdd(double x) {
  float f = static_cast<float>(x);
  if (static_cast<double>(f) == x || std::isnan(x) || std::isinf(x)) return f;
  uint32_t bits = std::bit_cast<uint32_t>(f);
  if (std::abs(static_cast<double>(f)) > std::abs(x)) bits--;  // toward zero
  return std::bit_cast<float>(bits | 1);
}

template <class T>
T FromFloat(float x);

template <>
inline Bf16 FromFloat<Bf16>(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  return {static_cast<uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? 0x7fff : rounded)};
}

template <>
inline F16 FromFloat<F16>(float x) {
  const uint16_t bits = std::bit_cast<uint16_t>(static_cast<_Float16>(x));
  return {static_cast<uint16_t>((bits & 0x7fff) > 0x7c00 ? 0x7fff : bits)};
}

template <>
inline float FromFloat<float>(float x) {
  return x;
}

// Toward zero.
inline Bf16 CutToBf16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  return {static_cast<uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? 0x7fff : bits >> 16)};
}
inline F16 CutToF16(float x) {
  F16 y = FromFloat<F16>(x);
  if (!std::isnan(x) && std::abs(ToFloat(y)) > std::abs(x)) y.bits--;
  return y;
}
// 10 bits after the point, ties away from zero: cvt.rna.tf32.
inline float ToTf32(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7f800000) == 0x7f800000) return x;
  return std::bit_cast<float>((bits + 0x1000) & ~0x1fffu);
}

// 8-bit types of `kExponentBits`. E4M3 has no infinity and one NaN (0x7f); E5M2 is like the IEEE types. Values beyond
// the largest finite one become it.
template <int kExponentBits>
struct Fp8 {
  static constexpr int kMantissaBits = 7 - kExponentBits;
  static constexpr int kBias = (1 << (kExponentBits - 1)) - 1;
  static constexpr uint8_t kLargest = kExponentBits == 4 ? 0x7e : 0x7b;

  static float Decode(uint8_t x) {
    const int exponent = x >> kMantissaBits & ((1 << kExponentBits) - 1), mantissa = x & ((1 << kMantissaBits) - 1);
    const float sign = x & 0x80 ? -1.0F : 1.0F;
    if ((x & 0x7f) > kLargest) return kExponentBits == 5 && (x & 0x7f) == 0x7c ? sign * INFINITY : NAN;
    if (exponent == 0) return sign * std::ldexp(static_cast<float>(mantissa), 1 - kBias - kMantissaBits);
    return sign * std::ldexp(static_cast<float>(mantissa + (1 << kMantissaBits)), exponent - kBias - kMantissaBits);
  }

  static uint8_t Encode(float x) {
    if (std::isnan(x)) return 0x7f;
    const uint8_t sign = std::signbit(x) ? 0x80 : 0;
    const float magnitude = std::abs(x);
    if (magnitude >= Decode(kLargest)) return sign | kLargest;
    // In units of the last digit at this magnitude; nearbyint rounds ties to even.
    const int exponent = std::max(std::ilogb(magnitude == 0 ? 1e-30F : magnitude), 1 - kBias);
    const auto units = static_cast<int>(std::nearbyint(std::ldexp(magnitude, kMantissaBits - exponent)));
    const int coded =
        ((exponent - (1 - kBias)) << kMantissaBits) + units;  // a carry runs into the exponent, as it should
    return sign | static_cast<uint8_t>(coded);
  }
};
using E4m3 = Fp8<4>;
using E5m2 = Fp8<5>;

}  // namespace emulation
