// Number formats of matrices, as they lie in device memory.
#pragma once

#include <cstdint>
#include <string>

#include "common/dtype.h"

namespace headroom::model {

// Elements, and scales that tiles of scale_rows × scale_cols of them share: one for the whole matrix (0 × 0), for each
// row (1 × 0), for groups of a row (1 × 32) or for blocks (128 × 128); 0 stands for all. value = (code − zero point) ·
// scale.
struct WeightFormat {
  enum class Kind : uint8_t {
    kCompute,  // the compute type of the request (bf16, fp32)
    kF32,      // fp32 whatever the compute type
    kFp8,      // e4m3
    kInt8,
    kInt4,
    kUnknown,  // quantized in a way that is not known: counted in the compute type
  };
  Kind kind = Kind::kCompute;
  int64_t scale_rows = 1;  // of quantized kinds, as scale_cols and zero_points
  int64_t scale_cols = 0;
  bool zero_points = false;  // one beside each scale, as wide as an element
  int64_t scale_bytes = 2;   // of a scale

  bool quantized() const { return kind == Kind::kFp8 || kind == Kind::kInt8 || kind == Kind::kInt4; }
  friend bool operator==(const WeightFormat&, const WeightFormat&) = default;
};

// "bf16", "fp8 in blocks of 128 x 128", "int4 in groups of 32 with zero points"; `compute` is what kCompute stands for.
std::string WeightFormatName(const WeightFormat& format, DType compute);

// Bits of an element.
int64_t ElementBits(const WeightFormat& format, DType compute);
// Scales of a matrix of rows × cols; 0 where there are none.
int64_t ScaleCount(const WeightFormat& format, int64_t rows, int64_t cols);
// Bytes of such a matrix: rows of whole bytes, scales, zero points. Sizes are at most 2^26 each.
int64_t MatrixBytes(const WeightFormat& format, int64_t rows, int64_t cols, DType compute);

}  // namespace headroom::model
