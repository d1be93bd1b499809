// cvt between integers, f32 and f64. A source or destination register may be wider than its type: the value is read
// from its low bytes, or extended into it.
#include <cmath>
#include <limits>

#include "tests/emulation/machine/floats.h"
#include "tests/emulation/machine/lanes.h"
#include "tests/emulation/machine/ops.h"

namespace emulation {
namespace {

enum Rounding : uint8_t { kNearest, kZero, kDown, kUp };

template <class T>
T RoundToInteger(T x, uint8_t rounding) {
  switch (rounding) {
    case kZero:
      return std::trunc(x);
    case kDown:
      return std::floor(x);
    case kUp:
      return std::ceil(x);
    default:
      return std::nearbyint(x);
  }
}

// The neighbour of a double that the rounding asks for; to nearest the processor rounds itself.
inline float Narrow(double x, uint8_t rounding) {
  const auto f = static_cast<float>(x);
  if (rounding == kNearest || std::isnan(x)) return f;
  const bool below = static_cast<double>(f)<x, above = static_cast<double>(f)> x;
  const bool down = rounding == kDown || (rounding == kZero && x > 0);
  if (above && down) return std::nextafter(f, -INFINITY);
  if (below && !down) return std::nextafter(f, INFINITY);
  return f;
}

// Integers beyond the range of the type become its ends, NaN becomes 0.
template <class To, class From>
To FloatToInteger(From x, uint8_t rounding) {
  if (std::isnan(x)) return 0;
  const From y = RoundToInteger(x, rounding);
  if (y <= static_cast<From>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
  if (y >= static_cast<From>(std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
  return static_cast<To>(y);
}

template <class To, class From>
To IntegerToFloat(From x, uint8_t rounding) {
  const To y = static_cast<To>(x);
  if (rounding == kNearest || sizeof(From) < sizeof(To) || (sizeof(From) == 4 && sizeof(To) == 8)) return y;
  // Exact difference through 128 bits; infinity cannot come out of 64.
  const auto back = static_cast<__int128>(y), exact = static_cast<__int128>(x);
  const bool down = rounding == kDown || (rounding == kZero && exact > 0);
  if (back > exact && down) return std::nextafter(y, -std::numeric_limits<To>::infinity());
  if (back < exact && !down) return std::nextafter(y, std::numeric_limits<To>::infinity());
  return y;
}

template <class To, class From>
To SaturateInteger(From x) {
  const auto wide = static_cast<__int128>(x);
  if (wide < static_cast<__int128>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
  if (wide > static_cast<__int128>(std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
  return static_cast<To>(x);
}

enum Flag : uint8_t { kSaturated = 1, kToInteger = 2, kFlushed = 4 };

template <class To, class From>
To Convert(From x, const Instruction& i) {
  constexpr bool kFromFloat = std::is_floating_point_v<From>, kToFloat = std::is_floating_point_v<To>;
  if constexpr (kFromFloat && !kToFloat) {
    return FloatToInteger<To, From>(x, i.mode);
  } else if constexpr (!kFromFloat && kToFloat) {
    return IntegerToFloat<To, From>(x, i.mode);
  } else if constexpr (kFromFloat) {
    if (i.flags & kFlushed) x = std::abs(x) < static_cast<From>(0x1p-126) ? std::copysign(From{0}, x) : x;
    if (i.flags & kToInteger) x = RoundToInteger(x, i.mode);
    To y;
    if constexpr (sizeof(From) > sizeof(To)) {
      y = Narrow(x, i.mode);
    } else {
      y = x;
    }
    if (i.flags & kSaturated) y = y > 0 ? (y < 1 ? y : To{1}) : To{0};
    return y;
  } else {
    return i.flags & kSaturated ? SaturateInteger<To, From>(x) : static_cast<To>(x);
  }
}

// Between registers as wide as their types.
template <class To, class From>
void Cvt(Warp& w, const Instruction& i, Mask mask) {
  const From* a = Lanes<From>(w, i.a);
  To t[kLanes];
  for (int lane = 0; lane < kLanes; lane++) t[lane] = Convert<To, From>(a[lane], i);
  Store(Lanes<To>(w, i.dst), t, mask);
}

// `width`: bytes of a source lane; `count`: of a destination lane.
template <class To, class From>
void CvtWide(Warp& w, const Instruction& i, Mask mask) {
  ForLanes(mask, [&](int lane) {
    From x;
    memcpy(&x, Lanes<uint8_t>(w, i.a) + lane * i.width, sizeof x);
    const To y = Convert<To, From>(x, i);
    // An integer that is narrower than its register fills it with its sign; a float cannot be.
    if constexpr (std::is_integral_v<To>) {
      const auto extended = static_cast<int64_t>(y);
      memcpy(Lanes<uint8_t>(w, i.dst) + lane * i.count, &extended, i.count);
    } else {
      memcpy(Lanes<uint8_t>(w, i.dst) + lane * i.count, &y, sizeof y);
    }
  });
}

template <class F>
Handler ForAll(ptx::Type type, F f) {
  if (type == ptx::Type::kU8 || type == ptx::Type::kB8) return f(Tag<uint8_t>());
  if (type == ptx::Type::kS8) return f(Tag<int8_t>());
  Handler handler = ForIntegers(type, f);
  return handler != nullptr ? handler : ForFloats(type, f);
}

}  // namespace

void DecodeCvt(Decoder& d, Instruction& i) {
  const ptx::Type to = d.TypeAt(1), from = d.TypeAt(0);
  const auto small = [](ptx::Type type) {
    return type >= ptx::Type::kF16 && type != ptx::Type::kF32 && type != ptx::Type::kF64;
  };
  if (small(to) || small(from)) return DecodeSmallCvt(d, i);
  for (const std::string_view word : d.statement().op) {
    if (word.size() == 3 && word[0] == 'r' && word[2] == 'i') i.flags |= kToInteger;
    if (word == "rz" || word == "rzi") i.mode = kZero;
    if (word == "rm" || word == "rmi") i.mode = kDown;
    if (word == "rp" || word == "rpi") i.mode = kUp;
  }
  if (d.Has("sat")) i.flags |= kSaturated;
  if (d.Has("ftz")) i.flags |= kFlushed;
  i.dst = d.Destination(d.operand(0));
  i.a = d.Source(d.operand(1), ptx::SizeOf(from));
  const int to_width = d.WidthOf(d.operand(0)), from_width = d.WidthOf(d.operand(1));
  i.count = static_cast<uint8_t>(to_width);
  i.width = static_cast<uint8_t>(from_width == 0 ? ptx::SizeOf(from) : from_width);
  const bool plain = to_width == ptx::SizeOf(to) && i.width == ptx::SizeOf(from);
  i.run = ForAll(to, [&](auto to_tag) {
    using To = typename decltype(to_tag)::type;
    return ForAll(from, [&](auto from_tag) -> Handler {
      using From = typename decltype(from_tag)::type;
      return plain ? Cvt<To, From> : CvtWide<To, From>;
    });
  });
}

}  // namespace emulation
