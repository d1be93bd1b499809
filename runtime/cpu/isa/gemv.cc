// Products of up to eight rows with a matrix of weights: each weight is read from memory once and used for all rows, so
// the speed is that of the memory.
#include "runtime/cpu/isa/fill.h"
#include "runtime/cpu/isa/simd.h"

namespace headroom::runtime::cpu::HEADROOM_ISA_NAMESPACE {
namespace {

// A Dot reads kStep elements at a time as a Chunk and sums products of two chunks.
struct DotF32 {
  using T = float;
  using Chunk = F;
  static constexpr int64_t kStep = kLanes;
  static inline Chunk Read(const T* p) { return Load(p); }
  static inline Chunk ReadFirst(const T* p, int64_t n) { return LoadFirst(p, n); }
  static inline F Step(F sum, Chunk w, Chunk x) { return MulAdd(w, x, sum); }
};

#if HEADROOM_ISA_LEVEL >= 2
struct DotBf16 {
  using T = uint16_t;
  using Chunk = __m512bh;
  static constexpr int64_t kStep = 32;
  static inline Chunk Read(const T* p) { return (__m512bh)_mm512_loadu_si512(p); }
  static inline Chunk ReadFirst(const T* p, int64_t n) {
    return (__m512bh)_mm512_maskz_loadu_epi16(static_cast<__mmask32>((uint64_t{1} << n) - 1), p);
  }
  static inline F Step(F sum, Chunk w, Chunk x) { return _mm512_dpbf16_ps(sum, w, x); }
};
#else
// Without a bf16 product: the even and the odd elements, each widened in place.
struct DotBf16 {
  using T = uint16_t;
  struct Chunk {
    F even, odd;
  };
  static constexpr int64_t kStep = 2 * kLanes;
#if HEADROOM_ISA_LEVEL >= 1
  static inline Chunk Split(__m512i x) {
    return {_mm512_castsi512_ps(_mm512_slli_epi32(x, 16)),
            _mm512_castsi512_ps(_mm512_and_si512(x, _mm512_set1_epi32(static_cast<int>(0xffff0000u))))};
  }
  static inline Chunk Read(const T* p) { return Split(_mm512_loadu_si512(p)); }
  static inline Chunk ReadFirst(const T* p, int64_t n) {
    return Split(_mm512_maskz_loadu_epi16(static_cast<__mmask32>((uint64_t{1} << n) - 1), p));
  }
#else
  static inline Chunk Split(__m256i x) {
    return {_mm256_castsi256_ps(_mm256_slli_epi32(x, 16)),
            _mm256_castsi256_ps(_mm256_and_si256(x, _mm256_set1_epi32(static_cast<int>(0xffff0000u))))};
  }
  static inline Chunk Read(const T* p) { return Split(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
  static inline Chunk ReadFirst(const T* p, int64_t n) {
    T buffer[kStep] = {};
    for (int64_t i = 0; i < n; ++i) buffer[i] = p[i];
    return Read(buffer);
  }
#endif
  static inline F Step(F sum, Chunk w, Chunk x) { return MulAdd(w.odd, x.odd, MulAdd(w.even, x.even, sum)); }
};
#endif

// kWeights rows of w times kRows rows of x.
template <typename Dot, int kWeights, int kRows>
inline void Strip(const typename Dot::T* w, int64_t w_stride, int64_t k, const typename Dot::T* x, int64_t x_stride,
                  const float* bias, bool accumulate, float* y, int64_t y_stride) {
  F sums[kWeights][kRows];
#pragma GCC unroll 8
  for (int j = 0; j < kWeights; ++j) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) sums[j][r] = Zero();
  }
  int64_t i = 0;
  const auto step = [&](int64_t ahead) {
    typename Dot::Chunk chunk[kWeights];
#pragma GCC unroll 8
    for (int j = 0; j < kWeights; ++j) {
      chunk[j] = Dot::Read(w + j * w_stride + i);
      _mm_prefetch(reinterpret_cast<const char*>(w + j * w_stride + i + ahead), _MM_HINT_T0);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const typename Dot::Chunk in = Dot::Read(x + r * x_stride + i);
#pragma GCC unroll 8
      for (int j = 0; j < kWeights; ++j) sums[j][r] = Dot::Step(sums[j][r], chunk[j], in);
    }
  };
  // The memory far ahead is asked for early: in this row, then in the rows of the next strip.
  constexpr int64_t kAhead = 512 / static_cast<int64_t>(sizeof(typename Dot::T));
  for (; i + Dot::kStep + kAhead <= k; i += Dot::kStep) step(kAhead);
  const int64_t next = kWeights * w_stride - k + kAhead;
  for (; i + Dot::kStep <= k; i += Dot::kStep) step(next);
  if (i < k) {
    for (int r = 0; r < kRows; ++r) {
      const typename Dot::Chunk in = Dot::ReadFirst(x + r * x_stride + i, k - i);
      for (int j = 0; j < kWeights; ++j) {
        sums[j][r] = Dot::Step(sums[j][r], Dot::ReadFirst(w + j * w_stride + i, k - i), in);
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int j = 0; j < kWeights; ++j) {
      float* out = y + r * y_stride + j;
      const float start = (bias == nullptr ? 0.0f : bias[j]) + (accumulate ? *out : 0.0f);
      *out = start + Sum(sums[j][r]);
    }
  }
}

// Weight rows at a time: as many as leave registers for the sums of kRows rows.
constexpr int WeightsPerStrip(int rows) {
  const int registers = HEADROOM_ISA_LEVEL >= 1 ? 24 : 12;
  const int weights = registers / rows;
  return weights > 8 ? 8 : weights;
}

template <typename Dot, int kRows>
void AllWeights(const typename Dot::T* w, int64_t w_stride, int64_t n, int64_t k, const typename Dot::T* x,
                int64_t x_stride, const float* bias, bool accumulate, float* y, int64_t y_stride) {
  constexpr int kWeights = WeightsPerStrip(kRows);
  int64_t j = 0;
  for (; j + kWeights <= n; j += kWeights) {
    Strip<Dot, kWeights, kRows>(w + j * w_stride, w_stride, k, x, x_stride, bias == nullptr ? nullptr : bias + j,
                                accumulate, y + j, y_stride);
  }
  for (; j < n; ++j) {
    Strip<Dot, 1, kRows>(w + j * w_stride, w_stride, k, x, x_stride, bias == nullptr ? nullptr : bias + j, accumulate,
                         y + j, y_stride);
  }
}

template <typename Dot>
void Gemv(const void* w_in, int64_t w_stride, int64_t n, int64_t k, const void* x_in, int64_t x_stride, int64_t m,
          const float* bias, bool accumulate, float* y, int64_t y_stride) {
  const auto* w = static_cast<const typename Dot::T*>(w_in);
  const auto* x = static_cast<const typename Dot::T*>(x_in);
  switch (m) {
    case 1:
      return AllWeights<Dot, 1>(w, w_stride, n, k, x, x_stride, bias, accumulate, y, y_stride);
    case 2:
      return AllWeights<Dot, 2>(w, w_stride, n, k, x, x_stride, bias, accumulate, y, y_stride);
    case 3:
      return AllWeights<Dot, 3>(w, w_stride, n, k, x, x_stride, bias, accumulate, y, y_stride);
    case 4:
      return AllWeights<Dot, 4>(w, w_stride, n, k, x, x_stride, bias, accumulate, y, y_stride);
    case 5:
      return AllWeights<Dot, 5>(w, w_stride, n, k, x, x_stride, bias, accumulate, y, y_stride);
    case 6:
      return AllWeights<Dot, 6>(w, w_stride, n, k, x, x_stride, bias, accumulate, y, y_stride);
    case 7:
      return AllWeights<Dot, 7>(w, w_stride, n, k, x, x_stride, bias, accumulate, y, y_stride);
    default:
      return AllWeights<Dot, 8>(w, w_stride, n, k, x, x_stride, bias, accumulate, y, y_stride);
  }
}

}  // namespace

void FillGemv(Kernels* k) {
  k->gemv[kElementF32] = Gemv<DotF32>;
  k->gemv[kElementBf16] = Gemv<DotBf16>;
}

}  // namespace headroom::runtime::cpu::HEADROOM_ISA_NAMESPACE
