// The types of PTX, as far as instructions and variables name them.
#pragma once

#include <cstdint>
#include <string_view>

namespace emulation::ptx {

enum class Type : uint8_t {
  kNone,
  kPred,
  kB8,
  kB16,
  kB32,
  kB64,
  kB128,
  kU8,
  kU16,
  kU32,
  kU64,
  kS8,
  kS16,
  kS32,
  kS64,
  kF16,
  kF16x2,
  kBf16,
  kBf16x2,
  kTf32,
  kF32,
  kF64,
  kE4m3,
  kE5m2,
  kE4m3x2,
  kE5m2x2,
};

// "u32" → kU32; kNone for a word that is no type.
Type TypeFromName(std::string_view name);

// Bytes a value takes in a register or in memory. A predicate takes none: 32 lanes share one mask.
int SizeOf(Type type);

}  // namespace emulation::ptx
