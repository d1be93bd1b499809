// Products of small tiles whose right operand lies packed in a cache, and what packs it.
#include "runtime/cpu/isa/fill.h"
#include "runtime/cpu/isa/simd.h"

namespace headroom::runtime::cpu::HEADROOM_ISA_NAMESPACE {
namespace {

// Rows × vectors of one tile of c that stays in registers: 24 of 32, or 12 of 16.
constexpr int kTileRows = 6;
constexpr int kTileVectors = HEADROOM_ISA_LEVEL >= 1 ? 4 : 2;

// What one multiply-accumulate works on.
struct MacF32 {
  using A = float;
  using B = float;
  static inline F Step(F sum, F b, const float* a) { return MulAdd(Set(*a), b, sum); }
  static inline F LoadB(const float* b) { return Load(b); }
};

template <typename Mac, int kRows, int kVectors>
inline void Tile(int64_t k, const typename Mac::A* a, int64_t a_stride, const typename Mac::B* b, int64_t b_stride,
                 bool accumulate, float* c, int64_t c_stride) {
  F sums[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sums[r][v] = accumulate ? Load(c + r * c_stride + v * kLanes) : Zero();
  }
  for (int64_t i = 0; i < k; ++i) {
    decltype(Mac::LoadB(b)) row[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) row[v] = Mac::LoadB(b + i * b_stride + v * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sums[r][v] = Mac::Step(sums[r][v], row[v], a + r * a_stride + i);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) Store(c + r * c_stride + v * kLanes, sums[r][v]);
  }
}

// All rows of one column tile of kVectors vectors.
template <typename Mac, int kVectors>
void ColumnTile(int64_t m, int64_t k, const typename Mac::A* a, int64_t a_stride, const typename Mac::B* b,
                int64_t b_stride, bool accumulate, float* c, int64_t c_stride) {
  int64_t r = 0;
  for (; r + kTileRows <= m; r += kTileRows) {
    Tile<Mac, kTileRows, kVectors>(k, a + r * a_stride, a_stride, b, b_stride, accumulate, c + r * c_stride, c_stride);
  }
  a += r * a_stride;
  c += r * c_stride;
  switch (m - r) {
    case 5:
      return Tile<Mac, 5, kVectors>(k, a, a_stride, b, b_stride, accumulate, c, c_stride);
    case 4:
      return Tile<Mac, 4, kVectors>(k, a, a_stride, b, b_stride, accumulate, c, c_stride);
    case 3:
      return Tile<Mac, 3, kVectors>(k, a, a_stride, b, b_stride, accumulate, c, c_stride);
    case 2:
      return Tile<Mac, 2, kVectors>(k, a, a_stride, b, b_stride, accumulate, c, c_stride);
    case 1:
      return Tile<Mac, 1, kVectors>(k, a, a_stride, b, b_stride, accumulate, c, c_stride);
    default:
      return;
  }
}

template <typename Mac>
void Gemm(int64_t m, int64_t n, int64_t k, const typename Mac::A* a, int64_t a_stride, const typename Mac::B* b,
          int64_t b_stride, bool accumulate, float* c, int64_t c_stride) {
  // Column tiles of nearly one width: 5 vectors go as 3 + 2, not as 4 + 1, whose single column waits for its own sums.
  int64_t left = n / kLanes;
  while (left > 0) {
    const int64_t tiles = (left + kTileVectors - 1) / kTileVectors;
    const int64_t vectors = (left + tiles - 1) / tiles;
    switch (vectors) {
      case 1:
        ColumnTile<Mac, 1>(m, k, a, a_stride, b, b_stride, accumulate, c, c_stride);
        break;
      case 2:
        ColumnTile<Mac, 2>(m, k, a, a_stride, b, b_stride, accumulate, c, c_stride);
        break;
#if HEADROOM_ISA_LEVEL >= 1
      case 3:
        ColumnTile<Mac, 3>(m, k, a, a_stride, b, b_stride, accumulate, c, c_stride);
        break;
      default:
        ColumnTile<Mac, 4>(m, k, a, a_stride, b, b_stride, accumulate, c, c_stride);
        break;
#endif
    }
    b += vectors * kLanes;
    c += vectors * kLanes;
    left -= vectors;
  }
}

#if HEADROOM_ISA_LEVEL >= 2
struct MacBf16 {
  using A = uint32_t;
  using B = uint32_t;
  static inline F Step(F sum, __m512bh b, const uint32_t* a) {
    return _mm512_dpbf16_ps(sum, (__m512bh)_mm512_set1_epi32(static_cast<int>(*a)), b);
  }
  static inline __m512bh LoadB(const uint32_t* b) { return (__m512bh)_mm512_loadu_si512(b); }
};
#endif

inline __m256i LoadWords(const uint32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }

inline void Transpose8x8(const uint32_t* src, int64_t src_stride, uint32_t* dst, int64_t dst_stride) {
  __m256i r[8], s[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) r[i] = LoadWords(src + i * src_stride);
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    s[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
    s[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_unpacklo_epi64(s[i], s[i + 2]);
    r[i + 1] = _mm256_unpackhi_epi64(s[i], s[i + 2]);
    r[i + 2] = _mm256_unpacklo_epi64(s[i + 1], s[i + 3]);
    r[i + 3] = _mm256_unpackhi_epi64(s[i + 1], s[i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(dst + i * dst_stride),
                        _mm256_permute2x128_si256(r[i], r[i + 4], 0x20));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(dst + (i + 4) * dst_stride),
                        _mm256_permute2x128_si256(r[i], r[i + 4], 0x31));
  }
}

void Transpose(const uint32_t* src, int64_t src_stride, int64_t rows, int64_t cols, uint32_t* dst, int64_t dst_stride) {
  for (int64_t r = 0; r < rows; r += 8) {
    for (int64_t c = 0; c < cols; c += 8) {
      Transpose8x8(src + r * src_stride + c, src_stride, dst + c * dst_stride + r, dst_stride);
    }
  }
}

void Interleave(const uint16_t* a, const uint16_t* b, uint16_t* dst, int64_t n) {
  for (int64_t i = 0; i < n; i += 8) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(a + i));
    const __m128i y = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b + i));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(dst + 2 * i), _mm_unpacklo_epi16(x, y));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(dst + 2 * i + 8), _mm_unpackhi_epi16(x, y));
  }
}

}  // namespace

void FillProducts(Kernels* k) {
  k->gemm_f32 = Gemm<MacF32>;
#if HEADROOM_ISA_LEVEL >= 2
  k->gemm_bf16 = Gemm<MacBf16>;
#endif
  k->transpose = Transpose;
  k->interleave = Interleave;
}

}  // namespace headroom::runtime::cpu::HEADROOM_ISA_NAMESPACE
