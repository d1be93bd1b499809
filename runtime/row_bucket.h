// Numbers of rows that products are built for, the same on every device: up to 8 rows each its own, multiples of 8 up
// to 64, then eight buckets per power of two (waste below 12.5 %).
#pragma once

#include <cstdint>

#include "common/arith.h"

namespace headroom::runtime {

inline constexpr int64_t kRowsOfTheirOwn = 8;

constexpr int64_t RowBucket(int64_t rows) {
  if (rows <= kRowsOfTheirOwn) return rows;
  int64_t step = 8;
  while (step * 16 < rows && step < (int64_t{1} << 40)) step *= 2;
  return RoundUp(rows, step);
}

}  // namespace headroom::runtime
