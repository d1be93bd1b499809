// The descriptors of cuBLASLt: plain records in the opaque structs of its header, with a table of attributes each.
#pragma once

#include <cublasLt.h>

#include <cstdint>

namespace emulation {

struct Layout {
  static constexpr uint32_t kMark = 0x4c61796f;
  uint32_t mark;
  uint32_t type;
  uint64_t rows, cols;
  int64_t ld, stride;
  int32_t order, batches;
};

struct MatmulDesc {
  static constexpr uint32_t kMark = 0x4d61746d;
  uint32_t mark;
  int32_t compute, scale, pointer_mode, transa, transb, transc;
  uint32_t epilogue;
  const void* bias;
  int64_t bias_stride;
  int32_t bias_type;  // −1: that of D
  int32_t sm_count, a_scale_mode, b_scale_mode;
  const void *a_scale, *b_scale, *c_scale, *d_scale;
  int8_t fast_accumulation;
};

struct Preference {
  static constexpr uint32_t kMark = 0x50726566;
  uint32_t mark;
  uint32_t search_mode;
  uint64_t workspace_bytes_max;
  uint32_t a_alignment, b_alignment, c_alignment, d_alignment;
};

// nullptr: not a descriptor of this kind, or a destroyed one.
const Layout* Of(cublasLtMatrixLayout_t layout);
const MatmulDesc* Of(cublasLtMatmulDesc_t description);
const Preference* Of(cublasLtMatmulPreference_t preference);

}  // namespace emulation
