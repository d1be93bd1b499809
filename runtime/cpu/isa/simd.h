// One vector of floats, F, and what the kernels do with it, for the instruction set that this file is compiled for.
//
// HEADROOM_ISA_NAMESPACE names the instruction set (a compile definition, so that no symbol of two sets is the same);
// HEADROOM_ISA_LEVEL is 0 for AVX2, 1 for AVX-512, 2 for AVX-512 with BF16. Functions are static for the same reason.
#pragma once

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 reports the deliberately undefined values inside its own intrinsics.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/cpu/kernels.h"

namespace headroom::runtime::cpu::HEADROOM_ISA_NAMESPACE {

#if HEADROOM_ISA_LEVEL >= 1

using F = __m512;
constexpr int64_t kLanes = 16;

static inline F Zero() { return _mm512_setzero_ps(); }
static inline F Set(float x) { return _mm512_set1_ps(x); }
static inline F Load(const float* p) { return _mm512_loadu_ps(p); }
static inline void Store(float* p, F x) { _mm512_storeu_ps(p, x); }
static inline __mmask16 FirstLanes(int64_t n) { return static_cast<__mmask16>((1u << n) - 1u); }
// The first n < kLanes elements; the other lanes are 0.
static inline F LoadFirst(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(FirstLanes(n), p); }
static inline void StoreFirst(float* p, F x, int64_t n) { _mm512_mask_storeu_ps(p, FirstLanes(n), x); }
// a with the lanes from n on replaced by b's.
static inline F KeepFirst(F a, F b, int64_t n) { return _mm512_mask_blend_ps(FirstLanes(n), b, a); }
static inline F Add(F a, F b) { return _mm512_add_ps(a, b); }
static inline F Sub(F a, F b) { return _mm512_sub_ps(a, b); }
static inline F Mul(F a, F b) { return _mm512_mul_ps(a, b); }
static inline F Div(F a, F b) { return _mm512_div_ps(a, b); }
static inline F Max(F a, F b) { return _mm512_max_ps(a, b); }
static inline F Min(F a, F b) { return _mm512_min_ps(a, b); }
static inline F MulAdd(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
static inline F NegMulAdd(F a, F b, F c) { return _mm512_fnmadd_ps(a, b, c); }
static inline F Round(F a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
// a · 2^n for a whole n.
static inline F ScaleByPowerOfTwo(F a, F n) { return _mm512_scalef_ps(a, n); }
static inline float Sum(F a) { return _mm512_reduce_add_ps(a); }
static inline float Largest(F a) { return _mm512_reduce_max_ps(a); }

static inline F Widen(__m256i x) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16)); }
static inline F Load(const uint16_t* p) { return Widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
static inline F LoadFirst(const uint16_t* p, int64_t n) { return Widen(_mm256_maskz_loadu_epi16(FirstLanes(n), p)); }

#if HEADROOM_ISA_LEVEL >= 2
static inline __m256i Narrow(F x) { return (__m256i)_mm512_cvtneps_pbh(x); }
#else
// Round to nearest even on the bits; a NaN keeps its upper half and becomes quiet.
static inline __m256i Narrow(F x) {
  const __m512i bits = _mm512_castps_si512(x);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
  const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_mask_blend_epi32(nan, rounded, quiet), 16));
}
#endif
static inline void Store(uint16_t* p, F x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), Narrow(x)); }
static inline void StoreFirst(uint16_t* p, F x, int64_t n) { _mm256_mask_storeu_epi16(p, FirstLanes(n), Narrow(x)); }

#else  // AVX2

using F = __m256;
constexpr int64_t kLanes = 8;

static inline F Zero() { return _mm256_setzero_ps(); }
static inline F Set(float x) { return _mm256_set1_ps(x); }
static inline F Load(const float* p) { return _mm256_loadu_ps(p); }
static inline void Store(float* p, F x) { _mm256_storeu_ps(p, x); }
static inline __m256i FirstLanes(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline F LoadFirst(const float* p, int64_t n) { return _mm256_maskload_ps(p, FirstLanes(n)); }
static inline void StoreFirst(float* p, F x, int64_t n) { _mm256_maskstore_ps(p, FirstLanes(n), x); }
static inline F KeepFirst(F a, F b, int64_t n) { return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(FirstLanes(n))); }
static inline F Add(F a, F b) { return _mm256_add_ps(a, b); }
static inline F Sub(F a, F b) { return _mm256_sub_ps(a, b); }
static inline F Mul(F a, F b) { return _mm256_mul_ps(a, b); }
static inline F Div(F a, F b) { return _mm256_div_ps(a, b); }
static inline F Max(F a, F b) { return _mm256_max_ps(a, b); }
static inline F Min(F a, F b) { return _mm256_min_ps(a, b); }
static inline F MulAdd(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
static inline F NegMulAdd(F a, F b, F c) { return _mm256_fnmadd_ps(a, b, c); }
static inline F Round(F a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
// In two halves, because 2^n alone overflows the exponent for n = 128 and for n < −126.
static inline F ScaleByPowerOfTwo(F a, F n) {
  const __m256i whole = _mm256_cvtps_epi32(n);
  const __m256i half = _mm256_srai_epi32(whole, 1);
  const __m256i rest = _mm256_sub_epi32(whole, half);
  const __m256i bias = _mm256_set1_epi32(127);
  const F first = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
  const F second = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
  return _mm256_mul_ps(_mm256_mul_ps(a, first), second);
}
static inline float Sum(F a) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
static inline float Largest(F a) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

static inline F Widen(__m128i x) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16)); }
static inline F Load(const uint16_t* p) { return Widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
static inline F LoadFirst(const uint16_t* p, int64_t n) {
  uint16_t buffer[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) buffer[i] = p[i];
  return Load(buffer);
}
static inline __m128i Narrow(F x) {
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  const __m256i high = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
  return _mm_packus_epi32(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1));
}
static inline void Store(uint16_t* p, F x) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), Narrow(x)); }
static inline void StoreFirst(uint16_t* p, F x, int64_t n) {
  uint16_t buffer[kLanes];
  Store(buffer, x);
  for (int64_t i = 0; i < n; ++i) p[i] = buffer[i];
}

#endif

// Runs body(load, store) over n elements: whole vectors, then the rest. `body` gets the index and how many lanes count.
template <typename Body>
static inline void ForVectors(int64_t n, Body body) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) body(i, kLanes);
  if (i < n) body(i, n - i);
}
template <typename T>
static inline F LoadSome(const T* p, int64_t lanes) {
  return lanes == kLanes ? Load(p) : LoadFirst(p, lanes);
}
template <typename T>
static inline void StoreSome(T* p, F x, int64_t lanes) {
  lanes == kLanes ? Store(p, x) : StoreFirst(p, x, lanes);
}

// e^x to 1–2 units in the last place. Below −87.3 the answer is 0 or close to the smallest normal number; above 88.7 it
// is saturated near the largest float, so that 1/(1 + e^x) stays finite.
static inline F Exp(F x) {
  // The bound comes first in both, so that a NaN stays one (these instructions answer their second operand then).
  x = Max(Set(-87.3f), Min(Set(88.7f), x));
  const F n = Round(Mul(x, Set(1.44269504088896341f)));
  // ln 2 in two parts, the first with trailing zeros so that n · part is exact.
  F r = NegMulAdd(n, Set(0.693145751953125f), x);
  r = NegMulAdd(n, Set(1.42860682030941723e-6f), r);
  // Taylor coefficients: on |r| ≤ ln2 / 2 the rest after r^7/5040 is below 6e-9.
  F p = Set(1.0f / 5040.0f);
  p = MulAdd(p, r, Set(1.0f / 720.0f));
  p = MulAdd(p, r, Set(1.0f / 120.0f));
  p = MulAdd(p, r, Set(1.0f / 24.0f));
  p = MulAdd(p, r, Set(1.0f / 6.0f));
  p = MulAdd(p, r, Set(0.5f));
  p = MulAdd(Mul(p, r), r, r);
  return ScaleByPowerOfTwo(Add(p, Set(1.0f)), n);
}

}  // namespace headroom::runtime::cpu::HEADROOM_ISA_NAMESPACE
