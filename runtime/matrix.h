// Matrix, ConstMatrix: non-owning row-major views on a device's memory. A vector of n elements is a 1×n matrix.
//
// Element (r, c) lies at data + (r · row_stride + c) · SizeOf(dtype); row_stride counts elements and is at least cols.
// Copying a view copies no data. A view does not know how long its memory is: who makes it vouches for that. Host code
// cannot look into it (memory/device_memory.h).
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "memory/device_memory.h"

namespace headroom::runtime {

using memory::DeviceArray;
using memory::DevicePtr;
using memory::DeviceSpan;

struct Matrix {
  DevicePtr data = {};
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t row_stride = 0;  // elements

  // Rows [begin, begin + count) and columns [begin, begin + count) of this view. The caller keeps them inside.
  Matrix RowRange(int64_t begin, int64_t count) const {
    return {data + begin * row_stride * SizeOf(dtype), dtype, count, cols, row_stride};
  }
  Matrix ColRange(int64_t begin, int64_t count) const {
    return {data + begin * SizeOf(dtype), dtype, rows, count, row_stride};
  }
};

struct ConstMatrix {
  DevicePtr data = {};
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t row_stride = 0;  // elements

  ConstMatrix() = default;
  ConstMatrix(DevicePtr data_in, DType dtype_in, int64_t rows_in, int64_t cols_in, int64_t row_stride_in)
      : data(data_in), dtype(dtype_in), rows(rows_in), cols(cols_in), row_stride(row_stride_in) {}
  ConstMatrix(const Matrix& m)  // NOLINT(google-explicit-constructor): a writable view reads as well
      : data(m.data), dtype(m.dtype), rows(m.rows), cols(m.cols), row_stride(m.row_stride) {}

  ConstMatrix RowRange(int64_t begin, int64_t count) const {
    return {data + begin * row_stride * SizeOf(dtype), dtype, count, cols, row_stride};
  }
  ConstMatrix ColRange(int64_t begin, int64_t count) const {
    return {data + begin * SizeOf(dtype), dtype, rows, count, row_stride};
  }
};

}  // namespace headroom::runtime
