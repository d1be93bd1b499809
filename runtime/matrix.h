// Matrix, ConstMatrix: non-owning row-major views on the arena. A vector of n elements is a 1×n matrix.
//
// Element (r, c) lies at data + (r · row_stride + c) · SizeOf(dtype); row_stride counts elements and is at least cols.
// Copying a view copies no data. A view does not know how long its memory is: who makes it vouches for that.
#pragma once

#include <cstdint>

#include "common/dtype.h"

namespace headroom::runtime {

// Raw bfloat16: the upper half of a float.
using BFloat16Bits = uint16_t;

struct Matrix {
  void* data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t row_stride = 0;  // elements

  static Matrix F32(float* data, int64_t rows, int64_t cols) { return {data, DType::kF32, rows, cols, cols}; }
  static Matrix BF16(BFloat16Bits* data, int64_t rows, int64_t cols) { return {data, DType::kBF16, rows, cols, cols}; }

  // Valid only for F32.
  float* F32() const { return static_cast<float*>(data); }

  // Rows [begin, begin + count) and columns [begin, begin + count) of this view. The caller keeps them inside.
  Matrix RowRange(int64_t begin, int64_t count) const {
    return {static_cast<char*>(data) + begin * row_stride * SizeOf(dtype), dtype, count, cols, row_stride};
  }
  Matrix ColRange(int64_t begin, int64_t count) const {
    return {static_cast<char*>(data) + begin * SizeOf(dtype), dtype, rows, count, row_stride};
  }
};

struct ConstMatrix {
  const void* data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t row_stride = 0;  // elements

  ConstMatrix() = default;
  ConstMatrix(const void* data_in, DType dtype_in, int64_t rows_in, int64_t cols_in, int64_t row_stride_in)
      : data(data_in), dtype(dtype_in), rows(rows_in), cols(cols_in), row_stride(row_stride_in) {}
  ConstMatrix(const Matrix& m)  // NOLINT(google-explicit-constructor): a writable view reads as well
      : data(m.data), dtype(m.dtype), rows(m.rows), cols(m.cols), row_stride(m.row_stride) {}

  static ConstMatrix F32(const float* data, int64_t rows, int64_t cols) {
    return {data, DType::kF32, rows, cols, cols};
  }

  const float* F32() const { return static_cast<const float*>(data); }

  ConstMatrix RowRange(int64_t begin, int64_t count) const {
    return {static_cast<const char*>(data) + begin * row_stride * SizeOf(dtype), dtype, count, cols, row_stride};
  }
  ConstMatrix ColRange(int64_t begin, int64_t count) const {
    return {static_cast<const char*>(data) + begin * SizeOf(dtype), dtype, rows, count, row_stride};
  }
};

}  // namespace headroom::runtime
