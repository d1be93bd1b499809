// Matrices as kernels take them.
#pragma once

#include "runtime/cuda/cuda_memory.h"
#include "runtime/cuda/kernels/grid.h"
#include "runtime/cuda/kernels/kv_cache.h"
#include "runtime/matrix.h"
#include "runtime/ops/paged_attention.h"

namespace headroom::runtime::cuda {

inline RowsIn In(const ConstMatrix& m) {
  return {PointerTo<const void>(m.data), m.rows, m.cols, m.row_stride, m.dtype == DType::kBF16};
}
inline RowsOut Out(const Matrix& m) {
  return {PointerTo<void>(m.data), m.rows, m.cols, m.row_stride, m.dtype == DType::kBF16};
}

inline KvLayer Layer(const KvView& kv) {
  return {.base = PointerTo<std::byte>(kv.base),
          .block_bytes = kv.block_bytes,
          .k_offset = kv.k_offset,
          .v_offset = kv.v_offset,
          .bf16 = kv.dtype == DType::kBF16,
          .heads = kv.kv_heads,
          .head_dim = kv.head_dim,
          .block_size = kv.block_size};
}

}  // namespace headroom::runtime::cuda
