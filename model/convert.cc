#include "model/convert.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "common/bf16.h"
#include "common/check.h"

namespace headroom::model {
namespace {

float FromF16(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1f;
  const uint32_t mantissa = bits & 0x3ff;
  if (exponent == 0) {
    const float magnitude = std::ldexp(static_cast<float>(mantissa), -24);
    return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
  }
  const uint32_t wide_exponent = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | wide_exponent << 23 | mantissa << 13);
}

// memcpy per element: the file gives no alignment. Compilers turn it into plain (vector) loads.
template <typename From, typename To, typename Function>
void Map(const std::byte* source, std::byte* target, int64_t elements, Function function) {
  for (int64_t i = 0; i < elements; ++i) {
    From from;
    std::memcpy(&from, source + i * sizeof(From), sizeof(From));
    const To to = function(from);
    std::memcpy(target + i * sizeof(To), &to, sizeof(To));
  }
}

}  // namespace

void ConvertElements(StoredType from, const std::byte* source, DType to, std::byte* target, int64_t elements) {
  HEADROOM_CHECK(to == DType::kF32 || to == DType::kBF16) << "weights are fp32 or bf16, not " << DTypeName(to);
  const bool bf16 = to == DType::kBF16;
  switch (from) {
    case StoredType::kF32:
      if (bf16) return Map<float, uint16_t>(source, target, elements, ToBf16);
      std::memcpy(target, source, elements * 4);
      return;
    case StoredType::kBF16:
      if (!bf16) return Map<uint16_t, float>(source, target, elements, FromBf16);
      std::memcpy(target, source, elements * 2);
      return;
    case StoredType::kF16:
      if (bf16) return Map<uint16_t, uint16_t>(source, target, elements, [](uint16_t x) { return ToBf16(FromF16(x)); });
      return Map<uint16_t, float>(source, target, elements, FromF16);
    default:
      HEADROOM_CHECK(false) << "no conversion from " << StoredTypeName(from);
  }
}

}  // namespace headroom::model
