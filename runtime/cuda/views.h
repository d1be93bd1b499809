// Matrices as kernels take them.
#pragma once

#include "runtime/cuda/cuda_memory.h"
#include "runtime/cuda/kernels/grid.h"
#include "runtime/matrix.h"

namespace headroom::runtime::cuda {

inline RowsIn In(const ConstMatrix& m) {
  return {PointerTo<const void>(m.data), m.rows, m.cols, m.row_stride, m.dtype == DType::kBF16};
}
inline RowsOut Out(const Matrix& m) {
  return {PointerTo<void>(m.data), m.rows, m.cols, m.row_stride, m.dtype == DType::kBF16};
}

}  // namespace headroom::runtime::cuda
