// Typed views on the arena: a buffer of a step, or a weight, as a matrix for runtime/ops.
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

// The first `rows` rows of a buffer. That they fit follows from how it was planned; a view that does not is a
// programmer error.
inline runtime::Matrix ViewOf(std::span<std::byte> workspace, const memory::StepBuffer& buffer, int64_t rows) {
  HEADROOM_CHECK(rows <= buffer.rows && buffer.offset + buffer.bytes() <= static_cast<int64_t>(workspace.size()))
      << rows << " rows of " << buffer.rows << " in " << buffer.name;
  return {workspace.data() + buffer.offset, buffer.type, rows, buffer.columns, buffer.columns};
}

inline std::span<std::byte> BytesOf(std::span<std::byte> workspace, const memory::StepBuffer& buffer) {
  return workspace.subspan(static_cast<size_t>(buffer.offset), static_cast<size_t>(buffer.bytes()));
}

// `count` plain numbers at the start of a buffer.
template <typename T>
std::span<T> SpanOf(std::span<std::byte> workspace, const memory::StepBuffer& buffer, int64_t count) {
  const std::span<std::byte> bytes = BytesOf(workspace, buffer);
  HEADROOM_CHECK(count * static_cast<int64_t>(sizeof(T)) <= buffer.bytes())
      << count << " in " << buffer.bytes() << " bytes of " << buffer.name;
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
