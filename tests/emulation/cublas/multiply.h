// The product of two matrices in f32 or in 32-bit integers, on one core.
#pragma once

#include <library_types.h>

#include <cstdint>

namespace emulation {

// `lines` vectors along k: rows of op(A), or columns of op(B).
struct Lines {
  const void* data;
  cudaDataType type;
  int64_t lines;
  int64_t ld;         // elements between two vectors, or between two steps of k
  bool along_k;       // the elements of a vector lie side by side
  bool tf32 = false;  // inputs are rounded to 10 bits after the point
};

// sums[i + j · a.lines] = Σ over p in [begin, end) of a(i, p) · b(j, p), each product fused with its addition, in an
// order that [begin, end) and the two along_k decide: whatever the number of lines, an element has the same bits.
void Multiply(const Lines& a, const Lines& b, int64_t begin, int64_t end, float* sums);
// Exact modulo 2^32, for int8 operands.
void Multiply(const Lines& a, const Lines& b, int64_t begin, int64_t end, uint32_t* sums);

}  // namespace emulation
