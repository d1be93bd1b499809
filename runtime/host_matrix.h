// Row-major numbers in host memory, on their way to a device: pixels, embeddings that another worker sent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/dtype.h"

namespace headroom::runtime {

// Non-owning; rows lie one after the other.
struct HostMatrix {
  const void* data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;

  static HostMatrix F32(const float* data, int64_t rows, int64_t cols) { return {data, DType::kF32, rows, cols}; }

  int64_t row_bytes() const { return cols * SizeOf(dtype); }
  // Rows [begin, begin + count). The caller keeps them inside.
  HostMatrix RowRange(int64_t begin, int64_t count) const {
    return {static_cast<const std::byte*>(data) + begin * row_bytes(), dtype, count, cols};
  }
  std::span<const std::byte> bytes() const {
    return {static_cast<const std::byte*>(data), static_cast<size_t>(rows * row_bytes())};
  }
  // Valid for f32.
  const float* F32() const { return static_cast<const float*>(data); }
};

}  // namespace headroom::runtime
