// Typed views on the arena: a region of a step's workspace, or a weight, as a matrix for runtime/ops.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "common/check.h"
#include "memory/step_layout.h"
#include "memory/weight_layout.h"
#include "runtime/matrix.h"

namespace headroom::worker {

// rows × cols elements at the start of a region. That they fit follows from how the region was sized; a view that does
// not is a programmer error.
inline runtime::Matrix ViewOf(std::span<std::byte> workspace, const memory::Region& region, DType dtype, int64_t rows,
                              int64_t cols) {
  HEADROOM_CHECK(rows * cols * SizeOf(dtype) <= region.bytes &&
                 region.offset + region.bytes <= static_cast<int64_t>(workspace.size()))
      << rows << " × " << cols << " in " << region.bytes << " bytes";
  return {workspace.data() + region.offset, dtype, rows, cols, cols};
}

inline std::span<std::byte> BytesOf(std::span<std::byte> workspace, const memory::Region& region) {
  return workspace.subspan(static_cast<size_t>(region.offset), static_cast<size_t>(region.bytes));
}

// `count` plain numbers at the start of a region.
template <typename T>
std::span<T> SpanOf(std::span<std::byte> workspace, const memory::Region& region, int64_t count) {
  const std::span<std::byte> bytes = BytesOf(workspace, region);
  HEADROOM_CHECK(count * static_cast<int64_t>(sizeof(T)) <= region.bytes)
      << count << " in " << region.bytes << " bytes";
  return {reinterpret_cast<T*>(bytes.data()), static_cast<size_t>(count)};
}

// The memory of one part of the weights and its layout.
class WeightViews {
 public:
  WeightViews(const memory::WeightLayout& layout, std::span<std::byte> memory) : layout_(layout), memory_(memory) {}

  runtime::Matrix operator[](const std::string& name) const {
    const memory::WeightRegion& region = layout_[name];
    HEADROOM_CHECK(region.offset + region.bytes <= static_cast<int64_t>(memory_.size())) << name;
    return {memory_.data() + region.offset, region.dtype, region.rows, region.cols, region.cols};
  }
  const float* Vector(const std::string& name) const {
    HEADROOM_CHECK(layout_[name].dtype == DType::kF32) << name;
    return (*this)[name].F32();
  }
  // Null where the model has none.
  const float* OptionalVector(const std::string& name) const { return layout_.Has(name) ? Vector(name) : nullptr; }

 private:
  const memory::WeightLayout& layout_;
  const std::span<std::byte> memory_;
};

}  // namespace headroom::worker
