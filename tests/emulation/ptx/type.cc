#include "tests/emulation/ptx/type.h"

#include <algorithm>
#include <array>

namespace emulation::ptx {
namespace {

struct Entry {
  std::string_view name;
  Type type;
  int bytes;
};

constexpr std::array kTypes = {
    Entry{"pred", Type::kPred, 0},     Entry{"b8", Type::kB8, 1},     Entry{"b16", Type::kB16, 2},
    Entry{"b32", Type::kB32, 4},       Entry{"b64", Type::kB64, 8},   Entry{"b128", Type::kB128, 16},
    Entry{"u8", Type::kU8, 1},         Entry{"u16", Type::kU16, 2},   Entry{"u32", Type::kU32, 4},
    Entry{"u64", Type::kU64, 8},       Entry{"s8", Type::kS8, 1},     Entry{"s16", Type::kS16, 2},
    Entry{"s32", Type::kS32, 4},       Entry{"s64", Type::kS64, 8},   Entry{"f16", Type::kF16, 2},
    Entry{"f16x2", Type::kF16x2, 4},   Entry{"bf16", Type::kBf16, 2}, Entry{"bf16x2", Type::kBf16x2, 4},
    Entry{"tf32", Type::kTf32, 4},     Entry{"f32", Type::kF32, 4},   Entry{"f64", Type::kF64, 8},
    Entry{"e4m3", Type::kE4m3, 1},     Entry{"e5m2", Type::kE5m2, 1}, Entry{"e4m3x2", Type::kE4m3x2, 2},
    Entry{"e5m2x2", Type::kE5m2x2, 2},
};

}  // namespace

Type TypeFromName(std::string_view name) {
  const auto* it = std::find_if(kTypes.begin(), kTypes.end(), [&](const Entry& entry) { return entry.name == name; });
  return it == kTypes.end() ? Type::kNone : it->type;
}

int SizeOf(Type type) {
  const auto* it = std::find_if(kTypes.begin(), kTypes.end(), [&](const Entry& entry) { return entry.type == type; });
  return it == kTypes.end() ? 0 : it->bytes;
}

}  // namespace emulation::ptx
