#include "tests/emulation/cublas/multiply.h"

#include <algorithm>
#include <vector>

#include "tests/emulation/cublas/elements.h"
#include "tests/emulation/machine/floats.h"

namespace emulation {
namespace {

// A tile of sums that stays in vector registers: 16 × 6 are 6 registers of 512 bits, or 12 of 256.
constexpr int kRows = 16;
constexpr int kColumns = 6;
// The same for sums along k: 4 × 3 tiles of 16 parts each; blocks of 16 rows, which are read for every three columns,
// stay in the first cache.
constexpr int kLanes = 16, kDotRows = 4, kDotColumns = 3;
constexpr int64_t kBlock = 16;
// Steps of k after which the sums go to memory and come back, so that a panel of A stays in the first cache and one of
// B in the second.
constexpr int64_t kSteps = 512;

void RoundInputs(const Lines& x, int64_t count, float* values) {
  if (!x.tf32) return;
  for (int64_t i = 0; i < count; i++) values[i] = ToTf32(values[i]);
}
void RoundInputs(const Lines&, int64_t, uint32_t*) {}

// Panels of kWidth lines, each [end − begin][kWidth], zeros beyond the last line.
template <class T, int kWidth>
std::vector<T> Pack(const Lines& x, int64_t begin, int64_t end) {
  const int64_t steps = end - begin, panels = (x.lines + kWidth - 1) / kWidth;
  std::vector<T> packed(panels * steps * kWidth);
  const int64_t runs = x.along_k ? x.lines : steps, length = x.along_k ? steps : x.lines;
  std::vector<T> run(length);
  for (int64_t r = 0; r < runs; r++) {
    const int64_t first = x.along_k ? r * x.ld + begin : (begin + r) * x.ld;
    Widen(x.type, static_cast<const char*>(x.data) + first * BytesOf(x.type), length, run.data());
    RoundInputs(x, length, run.data());
    if (x.along_k) {
      T* to = packed.data() + r / kWidth * steps * kWidth + r % kWidth;
      for (int64_t p = 0; p < steps; p++) to[p * kWidth] = run[p];
    } else {
      for (int64_t i = 0; i < x.lines; i += kWidth)
        std::copy_n(run.data() + i, std::min<int64_t>(kWidth, x.lines - i),
                    packed.data() + (i / kWidth * steps + r) * kWidth);
    }
  }
  return packed;
}

template <class T>
void AddTile(const T* a, const T* b, int64_t steps, T (&tile)[kColumns][kRows]) {
  typedef T Vector __attribute__((vector_size(kRows * sizeof(T))));
  Vector sums[kColumns];
  for (int j = 0; j < kColumns; j++) __builtin_memcpy(&sums[j], tile[j], sizeof(Vector));
  for (int64_t p = 0; p < steps; p++) {
    Vector row;
    __builtin_memcpy(&row, a + p * kRows, sizeof row);
    for (int j = 0; j < kColumns; j++) sums[j] += row * b[p * kColumns + j];
  }
  for (int j = 0; j < kColumns; j++) __builtin_memcpy(tile[j], &sums[j], sizeof(Vector));
}

template <class T>
void MultiplyPacked(const Lines& a, const Lines& b, int64_t begin, int64_t end, T* sums) {
  const int64_t m = a.lines, n = b.lines, steps = end - begin;
  const std::vector<T> rows = Pack<T, kRows>(a, begin, end), columns = Pack<T, kColumns>(b, begin, end);
  for (int64_t i = 0; i < m; i += kRows) {
    for (int64_t j = 0; j < n; j += kColumns) {
      const int64_t height = std::min<int64_t>(kRows, m - i), width = std::min<int64_t>(kColumns, n - j);
      T tile[kColumns][kRows] = {};
      for (int64_t c = 0; c < width; c++) std::copy_n(sums + i + (j + c) * m, height, tile[c]);
      AddTile(rows.data() + i * steps, columns.data() + j * steps, steps, tile);
      for (int64_t c = 0; c < width; c++) std::copy_n(tile[c], height, sums + i + (j + c) * m);
    }
  }
}

// Vectors [first, first + count) of x, widened, each padded with zeros to `padded` elements; zeros beyond the last
// line.
template <class T>
void Spread(const Lines& x, int64_t first, int64_t count, int64_t begin, int64_t end, int64_t padded, T* to) {
  for (int64_t r = 0; r < count; r++, to += padded) {
    std::fill_n(to, padded, T{0});
    if (first + r >= x.lines) continue;
    Widen(x.type, static_cast<const char*>(x.data) + ((first + r) * x.ld + begin) * BytesOf(x.type), end - begin, to);
    RoundInputs(x, end - begin, to);
  }
}

// kDotRows × kDotColumns sums of products, each in kLanes parts that are added at last.
template <class T>
void Dot(const T* a, const T* b, int64_t padded, T (&dots)[kDotRows][kDotColumns]) {
  typedef T Vector __attribute__((vector_size(kLanes * sizeof(T))));
  Vector sums[kDotRows][kDotColumns] = {};
  for (int64_t p = 0; p < padded; p += kLanes) {
    Vector row[kDotRows];
    for (int i = 0; i < kDotRows; i++) __builtin_memcpy(&row[i], a + i * padded + p, sizeof(Vector));
    for (int j = 0; j < kDotColumns; j++) {
      Vector column;
      __builtin_memcpy(&column, b + j * padded + p, sizeof column);
      for (int i = 0; i < kDotRows; i++) sums[i][j] += row[i] * column;
    }
  }
  for (int i = 0; i < kDotRows; i++) {
    for (int j = 0; j < kDotColumns; j++) {
      T part[kLanes];
      __builtin_memcpy(part, &sums[i][j], sizeof part);
      for (int half = kLanes / 2; half > 0; half /= 2) {
        for (int k = 0; k < half; k++) part[k] += part[k + half];
      }
      dots[i][j] = part[0];
    }
  }
}

// Where both operands lie along k, as weights and activations do, nothing has to be turned around.
template <class T>
void MultiplyAlong(const Lines& a, const Lines& b, int64_t begin, int64_t end, T* sums) {
  const int64_t m = a.lines, n = b.lines, padded = (end - begin + kLanes - 1) / kLanes * kLanes;
  const int64_t columns_padded = (n + kDotColumns - 1) / kDotColumns * kDotColumns;
  std::vector<T> rows(kBlock * padded), columns(columns_padded * padded);
  Spread(b, 0, columns_padded, begin, end, padded, columns.data());
  for (int64_t block = 0; block < m; block += kBlock) {
    Spread(a, block, kBlock, begin, end, padded, rows.data());
    for (int64_t j = 0; j < n; j += kDotColumns) {
      for (int64_t i = block; i < std::min(block + kBlock, m); i += kDotRows) {
        T dots[kDotRows][kDotColumns];
        Dot(rows.data() + (i - block) * padded, columns.data() + j * padded, padded, dots);
        for (int64_t r = 0; r < std::min<int64_t>(kDotRows, m - i); r++) {
          for (int64_t c = 0; c < std::min<int64_t>(kDotColumns, n - j); c++) sums[i + r + (j + c) * m] += dots[r][c];
        }
      }
    }
  }
}

template <class T>
void MultiplyAll(const Lines& a, const Lines& b, int64_t begin, int64_t end, T* sums) {
  std::fill_n(sums, a.lines * b.lines, T{0});
  for (int64_t from = begin; from < end; from += kSteps) {
    const int64_t to = std::min(from + kSteps, end);
    if (a.along_k && b.along_k) {
      MultiplyAlong(a, b, from, to, sums);
    } else {
      MultiplyPacked(a, b, from, to, sums);
    }
  }
}

}  // namespace

void Multiply(const Lines& a, const Lines& b, int64_t begin, int64_t end, float* sums) {
  MultiplyAll(a, b, begin, end, sums);
}
void Multiply(const Lines& a, const Lines& b, int64_t begin, int64_t end, uint32_t* sums) {
  MultiplyAll(a, b, begin, end, sums);
}

}  // namespace emulation
