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
inline runtime::Matrix ViewOf(const memory::DeviceSpan& workspace, const memory::StepBuffer& buffer, int64_t rows) {
  HEADROOM_CHECK(rows <= buffer.rows && buffer.offset + buffer.bytes() <= workspace.bytes)
      << rows << " rows of " << buffer.rows << " in " << buffer.name;
  return {workspace.data + buffer.offset, buffer.type, rows, buffer.columns, buffer.columns};
}

inline memory::DeviceSpan BytesOf(const memory::DeviceSpan& workspace, const memory::StepBuffer& buffer) {
  return workspace.Sub(buffer.offset, buffer.bytes());
}

// `count` numbers or plain structs at the start of a buffer.
template <typename T>
memory::DeviceArray<T> ArrayOf(const memory::DeviceSpan& workspace, const memory::StepBuffer& buffer, int64_t count) {
  HEADROOM_CHECK(count * static_cast<int64_t>(sizeof(T)) <= buffer.bytes())
      << count << " in " << buffer.bytes() << " bytes of " << buffer.name;
  return {workspace.data + buffer.offset, count};
}

// The same in the host's copy of a workspace's inputs.
template <typename T>
std::span<T> HostArrayOf(std::span<std::byte> inputs, const memory::StepBuffer& buffer, int64_t count) {
  const auto bytes = count * static_cast<int64_t>(sizeof(T));
  HEADROOM_CHECK(bytes <= buffer.bytes() && buffer.offset + bytes <= static_cast<int64_t>(inputs.size()))
      << count << " in " << buffer.bytes() << " bytes of " << buffer.name;
  return {reinterpret_cast<T*>(inputs.data() + buffer.offset), static_cast<size_t>(count)};
}

// The memory of one part of the weights and its layout.
class WeightViews {
 public:
  WeightViews(const memory::WeightLayout& layout, memory::DeviceSpan memory) : layout_(layout), memory_(memory) {}

  runtime::Matrix operator[](const std::string& name) const {
    const memory::WeightRegion& region = layout_[name];
    HEADROOM_CHECK(region.offset + region.bytes <= memory_.bytes) << name;
    return {memory_.data + region.offset, region.dtype, region.rows, region.cols, region.cols};
  }
  memory::DeviceArray<const float> Vector(const std::string& name) const {
    const runtime::Matrix matrix = (*this)[name];
    HEADROOM_CHECK(matrix.dtype == DType::kF32) << name;
    return {matrix.data, matrix.rows * matrix.cols};
  }
  // Null where the model has none.
  memory::DeviceArray<const float> OptionalVector(const std::string& name) const {
    return layout_.Has(name) ? Vector(name) : memory::DeviceArray<const float>{};
  }

 private:
  const memory::WeightLayout& layout_;
  const memory::DeviceSpan memory_;
};

}  // namespace headroom::worker
