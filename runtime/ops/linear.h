// Linear: y[M,N] = x[M,K] · Wᵀ (+ bias), the one matrix product of the models.
//
// W is held once, row-major [N,K] as in the checkpoint ([K,N] when weight_is_kn). M ≤ 8 runs on own kernels that read
// each weight once for all rows; larger M on oneDNN, whose primitives exist per bucket of M and are built by
// PrepareLinear. Below AVX-512, where oneDNN has no bf16 product, own kernels widen bf16 weights tile by tile for any
// M.
//
// Sums are f32. Results for one row do not depend on the other rows beyond rounding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/arith.h"
#include "common/status.h"
#include "runtime/device.h"
#include "runtime/matrix.h"

namespace headroom::runtime {

struct LinearArgs {
  ConstMatrix x;                // [M,K] f32 | bf16
  ConstMatrix weight;           // [N,K], or [K,N] when weight_is_kn; dtype of x; row_stride = cols
  const float* bias = nullptr;  // [N] or none
  Matrix y;                     // [M,N] f32; must not overlap x
  bool accumulate = false;      // y += instead of y =
  bool weight_is_kn = false;
  std::span<std::byte> scratch = {};  // at least what PrepareLinear answered for this N, K, dtype; 64-byte aligned
};

// INVALID_ARGUMENT on shapes, dtypes, strides or a scratch that do not fit the contract; INTERNAL when oneDNN fails.
//
// x and y must have memory for LinearRows(M) rows: the rows beyond M are read and written, and their contents mean
// nothing. M = 0 does nothing.
absl::Status Linear(Device& device, const LinearArgs& args);

// Rows that M is rounded up to: M itself up to 8, then multiples of 8 up to 64, then eight buckets per power of two
// (waste below 12.5 %). Closed form, the same on every machine; LinearRows(LinearRows(m)) = LinearRows(m), and it never
// falls as M rises.
constexpr int64_t LinearRows(int64_t rows) {
  if (rows <= 8) return rows;
  int64_t step = 8;
  while (step * 16 < rows && step < (int64_t{1} << 40)) step *= 2;
  return RoundUp(rows, step);
}

struct LinearSpec {
  int64_t n = 0;
  int64_t k = 0;
  DType dtype = DType::kBF16;  // of x and weight
  int64_t rows_max = 0;        // largest M that will be asked for
  bool bias = false;
  bool accumulate = false;
  bool weight_is_kn = false;
  int64_t x_row_stride = 0;  // elements; 0: k
  int64_t y_row_stride = 0;  // elements; 0: n
};

// Builds what Linear needs for every M ≤ rows_max, so that no step does. Returns the scratch bytes that such calls need
// (0 is possible). A Linear that was not prepared still works: it builds its primitive on first use. Thread-safe.
absl::StatusOr<int64_t> PrepareLinear(Device& device, const LinearSpec& spec);

struct LinearNeeds {
  int64_t scratch_bytes = 0;  // what PrepareLinear answers
  int64_t library_bytes = 0;  // what oneDNN keeps for it once it is built, at most; 0 where own kernels multiply
};
// What PrepareLinear would take, without building anything: for a plan that considers several sizes.
absl::StatusOr<LinearNeeds> DescribeLinear(Device& device, const LinearSpec& spec);

// What oneDNN keeps for one primitive, of which there is one for each bucket above 8 rows ([K,N]: from one row on), at
// most: code and descriptors. Measured with oneDNN 2.6 at 60 to 130 KiB, 105 KiB on average over the products of
// MiniCPM-V 2.6 in steps of 4096 tokens and 4612 patches.
inline constexpr int64_t kLinearPrimitiveBytes = int64_t{160} * 1024;

}  // namespace headroom::runtime
