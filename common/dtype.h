// Element types of tensors in memory. (What a checkpoint file may hold is wider: model/checkpoint.h, StoredType.)
#pragma once

#include <cstdint>

namespace headroom {

// kF8 (8-bit floats of a KV cache) exists in plans only. kU8: bytes that nobody looks into, as scratch.
enum class DType : uint8_t { kF32, kBF16, kI32, kI64, kF8, kU8 };

// Bytes per element.
constexpr int64_t SizeOf(DType type) {
  switch (type) {
    case DType::kI64:
      return 8;
    case DType::kF32:
    case DType::kI32:
      return 4;
    case DType::kBF16:
      return 2;
    case DType::kF8:
    case DType::kU8:
      break;
  }
  return 1;
}

constexpr const char* DTypeName(DType type) {
  switch (type) {
    case DType::kF32:
      return "fp32";
    case DType::kBF16:
      return "bf16";
    case DType::kI32:
      return "int32";
    case DType::kI64:
      return "int64";
    case DType::kF8:
      return "fp8";
    case DType::kU8:
      return "bytes";
  }
  return "unknown";
}

}  // namespace headroom
