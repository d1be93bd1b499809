// The CPU's own view of device memory: device addresses are addresses of this process, `offset` apart. The offset is 0
// but for tests, which hand out addresses that fault when anyone else reads through them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "common/dtype.h"
#include "memory/device_address.h"
#include "runtime/matrix.h"

namespace headroom::runtime::cpu {

// A view like Matrix that can be read and written through (T = void) or read (T = const void).
template <typename T>
struct HostView {
  T* data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t row_stride = 0;  // elements

  HostView RowRange(int64_t begin, int64_t count) const { return {Row(begin), dtype, count, cols, row_stride}; }
  HostView ColRange(int64_t begin, int64_t count) const {
    return {Shifted(begin * SizeOf(dtype)), dtype, rows, count, row_stride};
  }
  T* Row(int64_t row) const { return Shifted(row * row_stride * SizeOf(dtype)); }
  // Valid for f32.
  auto* F32() const {
    if constexpr (std::is_const_v<T>) {
      return static_cast<const float*>(data);
    } else {
      return static_cast<float*>(data);
    }
  }

 private:
  T* Shifted(int64_t bytes) const {
    if constexpr (std::is_const_v<T>) {
      return static_cast<const std::byte*>(data) + bytes;
    } else {
      return static_cast<std::byte*>(data) + bytes;
    }
  }
};
using View = HostView<void>;
using ConstView = HostView<const void>;

// Turns device addresses into pointers.
class HostAccess {
 public:
  explicit HostAccess(int64_t offset = 0) : offset_(static_cast<uint64_t>(offset)) {}

  // Null for null.
  std::byte* Bytes(DevicePtr p) const {
    if (!p) return nullptr;
    return reinterpret_cast<std::byte*>(memory::DeviceAddress::Of(p) + offset_);  // NOLINT(performance-no-int-to-ptr)
  }
  template <typename T>
  T* Array(const DeviceArray<T>& array) const {
    return reinterpret_cast<T*>(Bytes(array.data));
  }
  View operator()(const Matrix& m) const { return {Bytes(m.data), m.dtype, m.rows, m.cols, m.row_stride}; }
  ConstView operator()(const ConstMatrix& m) const { return {Bytes(m.data), m.dtype, m.rows, m.cols, m.row_stride}; }

 private:
  uint64_t offset_;
};

}  // namespace headroom::runtime::cpu
