// Element types of tensors in memory. (What a checkpoint file may hold is wider: model/checkpoint.h, StoredType.)
#pragma once

#include <cstdint>

namespace headroom {

// kF8 (8-bit floats of a KV cache) exists in plans only.
enum class DType : uint8_t { kF32, kBF16, kI32, kF8 };

// Bytes per element.
constexpr int64_t SizeOf(DType type) { return type == DType::kF8 ? 1 : type == DType::kBF16 ? 2 : 4; }

constexpr const char* DTypeName(DType type) {
  switch (type) {
    case DType::kF32:
      return "fp32";
    case DType::kBF16:
      return "bf16";
    case DType::kI32:
      return "int32";
    case DType::kF8:
      return "fp8";
  }
  return "unknown";
}

}  // namespace headroom
