// Element types of tensors in memory. (What a checkpoint file may hold is wider: model/checkpoint.h, StoredType.)
#pragma once

#include <cstdint>

namespace headroom {

enum class DType : uint8_t { kF32, kBF16, kI32 };

// Bytes per element.
constexpr int64_t SizeOf(DType type) { return type == DType::kBF16 ? 2 : 4; }

constexpr const char* DTypeName(DType type) {
  switch (type) {
    case DType::kF32:
      return "fp32";
    case DType::kBF16:
      return "bf16";
    case DType::kI32:
      return "int32";
  }
  return "unknown";
}

}  // namespace headroom
