// The arithmetic of sampling, which is the same bits on every device: the noise, and weights as whole numbers, so that
// sums are exact and the order of adding does not matter. Plain constexpr functions of single IEEE operations: whoever
// compiles them must not contract a product and a sum into one (nvcc: -fmad=false).
#pragma once

#include <bit>
#include <cstdint>

namespace headroom::runtime {

// Uniform in [0, 2^53): the first two words of Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as
// easy as 1, 2, 3; SC 2011) with key = seed and counter = (position low, position high, choice, 0).
constexpr uint64_t Noise(uint64_t seed, uint32_t choice, uint64_t position) {
  auto x0 = static_cast<uint32_t>(position), x1 = static_cast<uint32_t>(position >> 32), x2 = choice, x3 = 0u;
  auto key_low = static_cast<uint32_t>(seed), key_high = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * x0;
    const uint64_t b = uint64_t{0xCD9E8D57} * x2;
    x0 = static_cast<uint32_t>(b >> 32) ^ x1 ^ key_low;
    x1 = static_cast<uint32_t>(b);
    x2 = static_cast<uint32_t>(a >> 32) ^ x3 ^ key_high;
    x3 = static_cast<uint32_t>(a);
    key_low += 0x9E3779B9;
    key_high += 0xBB67AE85;
  }
  return (uint64_t{x1} << 32 | x0) >> 11;
}

// A logit of an id that was seen. The limit on the penalty keeps finite logits of any sane model finite; the clamp
// keeps the others so.
constexpr float Penalized(float logit, float penalty) {
  constexpr float kMost = 3e38f;
  const float changed = logit > 0 ? logit / penalty : logit * penalty;
  return changed > kMost ? kMost : changed < -kMost ? -kMost : changed;
}

// The logit of an id that is out: below every other, finite, and of no weight.
inline constexpr float kExcluded = -3.40282347e38f;

// A logit with what is added to it; −infinity takes it out. Logits that are not finite stay so, to be found.
constexpr float Changed(float logit, float delta) {
  constexpr float kMost = 3e38f;
  if (!(logit >= -3.40282347e38f && logit <= 3.40282347e38f)) return logit;
  if (delta < -3.40282347e38f) return kExcluded;
  const float changed = logit + delta;
  return changed > kMost ? kMost : changed < -kMost ? -kMost : changed;
}

// Order of candidates: the larger key comes first; of equal logits, the lower id. Any finite logit.
constexpr uint64_t CandidateKey(float logit, int64_t id) {
  const auto bits = std::bit_cast<uint32_t>(logit + 0.0f);  // −0 is 0
  const uint32_t ordered = bits ^ ((bits >> 31) != 0 ? 0xffffffffu : 0x80000000u);
  return uint64_t{ordered} << 32 | (0xffffffffu - static_cast<uint32_t>(id));
}
constexpr int64_t IdOfKey(uint64_t key) { return 0xffffffffu - static_cast<uint32_t>(key); }

// The weight of the largest logit is 2^UnitBits: a vocabulary of such weights adds up to less than 2^62.
// A loop, because nvcc 13 makes nothing but 0 of what <bit> has for it.
constexpr int UnitBits(int64_t vocab_size) {
  int bits = 62;
  for (; vocab_size > 0; vocab_size /= 2) --bits;
  return bits;
}

// 2^UnitBits · e^((logit − largest) / temperature), rounded, for logit ≤ largest and temperature above 0: within 3e-7
// of itself and a unit.
constexpr uint64_t Weight(float logit, float largest, float temperature, int unit_bits) {
  const float x = (logit - largest) / temperature;
  constexpr float kLog2E = 1.44269504f, kLn2High = 0.693145752f, kLn2Low = 1.42860677e-06f;  // High · 64 is exact
  if (!(x > -45.0f)) return 0;                                                               // e^−45 < 2^−64
  // e^x = 2^n · e^r with |r| ≤ ln 2 / 2. Adding 1.5 · 2^23 rounds to a whole number.
  const float n = (x * kLog2E + 12582912.0f) - 12582912.0f;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  float power = 1.0f / 720;
  power = power * r + 1.0f / 120;
  power = power * r + 1.0f / 24;
  power = power * r + 1.0f / 6;
  power = power * r + 0.5f;
  power = power * r + 1.0f;
  power = power * r + 1.0f;
  // power is in [0.7, 1.5): a multiple of 2^−24.
  const auto mantissa = static_cast<uint64_t>(power * 16777216.0f);
  const int shift = unit_bits - 24 + static_cast<int>(n);
  if (shift >= 0) return mantissa << shift;
  return shift < -26 ? 0 : (mantissa + (uint64_t{1} << (-shift - 1))) >> -shift;
}

// The least weight that min_p lets stay: in weights of which the largest is 2^unit_bits.
constexpr uint64_t LeastWeight(float min_p, int unit_bits) {
  const double wanted = static_cast<double>(min_p) * static_cast<double>(uint64_t{1} << unit_bits);
  const auto whole = static_cast<uint64_t>(wanted);
  return static_cast<double>(whole) < wanted ? whole + 1 : whole;
}

__extension__ using uint128_t = unsigned __int128;

// What the tokens that top_p keeps must add up to, of a sum that is not 0: 1 … total.
constexpr uint64_t WantedWeight(float top_p, uint64_t total) {
  const auto share = static_cast<uint64_t>(static_cast<double>(top_p) * 0x1p53);
  const auto wanted = static_cast<uint64_t>((uint128_t{share} * total + ((uint64_t{1} << 53) - 1)) >> 53);
  return wanted == 0 ? 1 : wanted;
}

// Where noise falls among weights of that sum: the token drawn is the first one with which the sum is above it.
constexpr uint64_t DrawnWeight(uint64_t noise, uint64_t total) {
  return static_cast<uint64_t>((uint128_t{noise} * total) >> 53);
}

}  // namespace headroom::runtime
