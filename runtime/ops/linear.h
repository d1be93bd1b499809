// Linear: y[M,N] = x[M,K] · Wᵀ (+ bias), the one matrix product of the models.
//
// W is held once, row-major [N,K] as in the checkpoint ([K,N] when weight_is_kn). A device computes for buckets of
// rows, built by PrepareLinear.
//
// Sums are f32. Results for one row do not depend on the other rows beyond rounding.
#pragma once

#include <cstdint>
#include <vector>

#include "common/status.h"
#include "runtime/device.h"
#include "runtime/matrix.h"

namespace headroom::runtime {

struct LinearArgs {
  ConstMatrix x;                       // [M,K] f32 | bf16
  ConstMatrix weight;                  // [N,K], or [K,N] when weight_is_kn; dtype of x; row_stride = cols
  DeviceArray<const float> bias = {};  // [N] or none
  Matrix y;                            // [M,N] f32; must not overlap x
  bool accumulate = false;             // y += instead of y =
  bool weight_is_kn = false;
  DeviceSpan scratch = {};  // at least what PrepareLinear answered for this N, K, dtype; 64-byte aligned
};

// INVALID_ARGUMENT on shapes, dtypes, strides or a scratch that do not fit the contract; INTERNAL when a library fails.
//
// x and y must have memory for LinearRows(device, M) rows: the rows beyond M are read and written, and their contents
// mean nothing. M = 0 does nothing.
absl::Status Linear(Device& device, const LinearArgs& args);

// Rows that this device rounds M up to: the same for every product, LinearRows(LinearRows(m)) = LinearRows(m), and it
// never falls as M rises.
int64_t LinearRows(Device& device, int64_t rows);

// Every number of rows that products are computed for when at most `rows_max` are asked for.
std::vector<int64_t> LinearBuckets(const KernelSizes& sizes, int64_t rows_max);

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
  int64_t library_bytes = 0;  // what libraries keep for it outside of the arena once it is built, at most
};
// What PrepareLinear would take, without building anything: for a plan that considers several sizes.
absl::StatusOr<LinearNeeds> DescribeLinear(KernelSizes& sizes, const LinearSpec& spec);

}  // namespace headroom::runtime
