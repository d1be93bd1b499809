// Checks of arguments that all operations share. Messages name the operation, the value and the limit.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>

#include "common/status.h"
#include "runtime/matrix.h"

namespace headroom::runtime {

// Bound on rows, columns and strides: products of two of them times an element's size stay far inside int64.
inline constexpr int64_t kExtentMax = int64_t{1} << 28;

inline absl::Status ArgumentError(const char* op, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(op, ": ", what));
}

inline absl::Status CheckView(const char* op, const char* name, const ConstMatrix& m,
                              std::initializer_list<DType> dtypes) {
  bool known = false;
  for (const DType dtype : dtypes) known = known || dtype == m.dtype;
  if (!known) return ArgumentError(op, absl::StrCat(name, " has dtype ", DTypeName(m.dtype)));
  if (m.rows < 0 || m.rows > kExtentMax || m.cols < 1 || m.cols > kExtentMax || m.row_stride < m.cols ||
      m.row_stride > kExtentMax) {
    return ArgumentError(op, absl::StrCat(name, " is ", m.rows, "×", m.cols, " with row stride ", m.row_stride));
  }
  if (!m.data && m.rows > 0) return ArgumentError(op, absl::StrCat(name, " has no data"));
  return absl::OkStatus();
}

inline absl::Status CheckEqual(const char* op, const char* what, int64_t got, int64_t want) {
  if (got == want) return absl::OkStatus();
  return ArgumentError(op, absl::StrCat(what, " is ", got, ", want ", want));
}

inline absl::Status CheckHeads(const char* op, int64_t heads, int64_t head_dim) {
  constexpr int64_t kHeadsMax = int64_t{1} << 16;
  constexpr int64_t kHeadDimMax = 512;
  if (heads >= 1 && heads <= kHeadsMax && head_dim >= 1 && head_dim <= kHeadDimMax) return absl::OkStatus();
  return ArgumentError(
      op, absl::StrCat(heads, " heads of ", head_dim, ", allowed: 1 to ", kHeadsMax, " of 1 to ", kHeadDimMax));
}

// `want` elements on the device.
template <typename T>
absl::Status CheckArray(const char* op, const char* name, const DeviceArray<T>& array, int64_t want) {
  if (array.size != want || want < 0 || want > kExtentMax) {
    return ArgumentError(op, absl::StrCat(name, " has ", array.size, " elements, want ", want));
  }
  if (want > 0 && !array) return ArgumentError(op, absl::StrCat(name, " has no data"));
  return absl::OkStatus();
}

inline absl::Status CheckScratch(const char* op, const DeviceSpan& scratch, int64_t needed) {
  constexpr int64_t kAlignment = 64;
  if (scratch.bytes < needed) {
    return ArgumentError(op, absl::StrCat("scratch has ", scratch.bytes, " bytes, needed: ", needed));
  }
  if (needed > 0 && (!scratch.data || !scratch.data.IsMultipleOf(kAlignment))) {
    return ArgumentError(op, "scratch is not aligned to 64 bytes");
  }
  return absl::OkStatus();
}

}  // namespace headroom::runtime
