// cvt from and to f16, bf16, their pairs, tf32 and the 8-bit pairs.
#include <algorithm>

#include "tests/emulation/machine/floats.h"
#include "tests/emulation/machine/lanes.h"
#include "tests/emulation/machine/ops.h"

namespace emulation {
namespace {

enum Flag : uint8_t { kRelu = 1, kCut = 2, kSaturate = 4, kInteger = 8 };

inline float Prepare(float x, uint8_t flags) {
  if ((flags & kRelu) && !(x > 0)) x = std::isnan(x) ? x : 0;
  if (flags & kSaturate) x = x > 0 ? std::min(x, 1.0F) : 0;
  return x;
}

template <class H>
H Narrow(float x, uint8_t flags) {
  x = Prepare(x, flags);
  if constexpr (std::is_same_v<H, Bf16>) {
    return flags & kCut ? CutToBf16(x) : FromFloat<Bf16>(x);
  } else {
    return flags & kCut ? CutToF16(x) : FromFloat<F16>(x);
  }
}

// Calls f with the way from a float to H: of most, without flags, the loop over lanes becomes vector instructions.
template <class H, class F>
void WithNarrow(uint8_t flags, F f) {
  if (flags == 0) {
    f([](float x) { return FromFloat<H>(x); });
  } else {
    f([=](float x) { return Narrow<H>(x, flags); });
  }
}

template <class H>
void FromSingle(Warp& w, const Instruction& i, Mask mask) {
  H t[kLanes];
  const float* a = Lanes<float>(w, i.a);
  WithNarrow<H>(i.flags, [&](auto narrow) {
    for (int lane = 0; lane < kLanes; lane++) t[lane] = narrow(a[lane]);
  });
  Store(Lanes<H>(w, i.dst), t, mask);
}

// cvt.bf16x2.f32 D, A, B: A becomes the upper half.
template <class H>
void PairFromSingles(Warp& w, const Instruction& i, Mask mask) {
  uint32_t t[kLanes];
  const float* a = Lanes<float>(w, i.a);
  const float* b = Lanes<float>(w, i.b);
  WithNarrow<H>(i.flags, [&](auto narrow) {
    for (int lane = 0; lane < kLanes; lane++) t[lane] = uint32_t{narrow(a[lane]).bits} << 16 | narrow(b[lane]).bits;
  });
  Store(Lanes<uint32_t>(w, i.dst), t, mask);
}

template <class H, class To>
void Widen(Warp& w, const Instruction& i, Mask mask) {
  To t[kLanes];
  for (int lane = 0; lane < kLanes; lane++) t[lane] = ToFloat(Lanes<H>(w, i.a)[lane]);
  Store(Lanes<To>(w, i.dst), t, mask);
}

// Halves to integers, and rounded to integers: mode as in op_convert.cc.
inline float Rounded(float x, uint8_t mode) {
  return mode == 1 ? std::trunc(x) : mode == 2 ? std::floor(x) : mode == 3 ? std::ceil(x) : std::nearbyint(x);
}

template <class H, class To>
void ToInteger(Warp& w, const Instruction& i, Mask mask) {
  To t[kLanes];
  for (int lane = 0; lane < kLanes; lane++) {
    const double x = Rounded(ToFloat(Lanes<H>(w, i.a)[lane]), i.mode);
    const auto low = static_cast<double>(std::numeric_limits<To>::min()),
               high = static_cast<double>(std::numeric_limits<To>::max());
    t[lane] = std::isnan(x) ? To{0}
              : x <= low    ? std::numeric_limits<To>::min()
              : x >= high   ? std::numeric_limits<To>::max()
                            : static_cast<To>(x);
  }
  Store(Lanes<To>(w, i.dst), t, mask);
}

template <class H, class From>
void FromInteger(Warp& w, const Instruction& i, Mask mask) {
  H t[kLanes];
  for (int lane = 0; lane < kLanes; lane++) {
    const From x = Lanes<From>(w, i.a)[lane];
    // Through odd rounding, so that one rounding remains. Doubles hold 53 bits of a 64-bit integer: enough for 11.
    t[lane] = FromFloat<H>(RoundToOdd(static_cast<double>(x)));
  }
  Store(Lanes<H>(w, i.dst), t, mask);
}

template <class H>
void SameHalf(Warp& w, const Instruction& i, Mask mask) {
  H t[kLanes];
  for (int lane = 0; lane < kLanes; lane++) {
    float x = ToFloat(Lanes<H>(w, i.a)[lane]);
    if (i.flags & kInteger) x = Rounded(x, i.mode);
    t[lane] = FromFloat<H>(Prepare(x, i.flags));
  }
  Store(Lanes<H>(w, i.dst), t, mask);
}

template <class H>
void FromDouble(Warp& w, const Instruction& i, Mask mask) {
  H t[kLanes];
  for (int lane = 0; lane < kLanes; lane++) t[lane] = FromFloat<H>(RoundToOdd(Lanes<double>(w, i.a)[lane]));
  Store(Lanes<H>(w, i.dst), t, mask);
}

void ToTensorFloat(Warp& w, const Instruction& i, Mask mask) {
  float t[kLanes];
  for (int lane = 0; lane < kLanes; lane++) t[lane] = ToTf32(Lanes<float>(w, i.a)[lane]);
  Store(Lanes<float>(w, i.dst), t, mask);
}

template <class E>
void EightFromSingles(Warp& w, const Instruction& i, Mask mask) {
  uint16_t t[kLanes];
  for (int lane = 0; lane < kLanes; lane++) {
    const float a = Prepare(Lanes<float>(w, i.a)[lane], i.flags), b = Prepare(Lanes<float>(w, i.b)[lane], i.flags);
    t[lane] = static_cast<uint16_t>(E::Encode(a) << 8 | E::Encode(b));
  }
  Store(Lanes<uint16_t>(w, i.dst), t, mask);
}

template <class E, class H>
void EightFromPair(Warp& w, const Instruction& i, Mask mask) {
  uint16_t t[kLanes];
  for (int lane = 0; lane < kLanes; lane++) {
    const H* pair = Lanes<H>(w, i.a) + 2 * lane;
    const float low = Prepare(ToFloat(pair[0]), i.flags), high = Prepare(ToFloat(pair[1]), i.flags);
    t[lane] = static_cast<uint16_t>(E::Encode(high) << 8 | E::Encode(low));
  }
  Store(Lanes<uint16_t>(w, i.dst), t, mask);
}

template <class E>
void PairFromEight(Warp& w, const Instruction& i, Mask mask) {
  uint32_t t[kLanes];
  for (int lane = 0; lane < kLanes; lane++) {
    const uint16_t x = Lanes<uint16_t>(w, i.a)[lane];
    const F16 low = FromFloat<F16>(Prepare(E::Decode(x & 0xff), i.flags)),
              high = FromFloat<F16>(Prepare(E::Decode(x >> 8), i.flags));
    t[lane] = uint32_t{high.bits} << 16 | low.bits;
  }
  Store(Lanes<uint32_t>(w, i.dst), t, mask);
}

template <class H>
Handler SelectFromHalf(ptx::Type to) {
  if (to == ptx::Type::kF32) return Widen<H, float>;
  if (to == ptx::Type::kF64) return Widen<H, double>;
  return ForIntegers(to, [&](auto tag) -> Handler { return ToInteger<H, typename decltype(tag)::type>; });
}

template <class H>
Handler SelectToHalf(ptx::Type from) {
  if (from == ptx::Type::kF32) return FromSingle<H>;
  if (from == ptx::Type::kF64) return FromDouble<H>;
  return ForIntegers(from, [&](auto tag) -> Handler { return FromInteger<H, typename decltype(tag)::type>; });
}

template <class E>
Handler SelectToEight(ptx::Type from) {
  if (from == ptx::Type::kF32) return EightFromSingles<E>;
  return from == ptx::Type::kF16x2 ? EightFromPair<E, F16> : nullptr;
}

Handler Select(const Decoder& d, ptx::Type to, ptx::Type from) {
  using ptx::Type;
  if (to == from) return to == Type::kF16 ? SameHalf<F16> : to == Type::kBf16 ? SameHalf<Bf16> : nullptr;
  if (to == Type::kE4m3x2) return SelectToEight<E4m3>(from);
  if (to == Type::kE5m2x2) return SelectToEight<E5m2>(from);
  if (from == Type::kE4m3x2) return to == Type::kF16x2 ? PairFromEight<E4m3> : nullptr;
  if (from == Type::kE5m2x2) return to == Type::kF16x2 ? PairFromEight<E5m2> : nullptr;
  if (to == Type::kF16x2) return from == Type::kF32 ? PairFromSingles<F16> : nullptr;
  if (to == Type::kBf16x2) return from == Type::kF32 ? PairFromSingles<Bf16> : nullptr;
  if (to == Type::kTf32) return from == Type::kF32 && d.Has("rna") ? ToTensorFloat : nullptr;
  if (to == Type::kF16) return SelectToHalf<F16>(from);
  if (to == Type::kBf16) return SelectToHalf<Bf16>(from);
  if (from == Type::kF16) return SelectFromHalf<F16>(to);
  if (from == Type::kBf16) return SelectFromHalf<Bf16>(to);
  return nullptr;
}

}  // namespace

void DecodeSmallCvt(Decoder& d, Instruction& i) {
  const ptx::Type to = d.TypeAt(1), from = d.TypeAt(0);
  i.dst = d.Destination(d.operand(0));
  i.a = d.Source(d.operand(1), ptx::SizeOf(from));
  if (d.operands() > 2) i.b = d.Source(d.operand(2), ptx::SizeOf(from));
  for (const std::string_view word : d.statement().op) {
    if (word.size() == 3 && word[0] == 'r' && word[2] == 'i') i.flags |= kInteger;
    if (word == "rzi") i.mode = 1;
    if (word == "rmi") i.mode = 2;
    if (word == "rpi") i.mode = 3;
    if (word == "rz") i.flags |= kCut;
    if (word == "relu") i.flags |= kRelu;
    if (word == "sat") i.flags |= kSaturate;
    if (word == "rm" || word == "rp" || word == "rs") return;  // not emulated
  }
  // Register and type may differ in width only for integers, which nvcc converts to 16 or 32 bits first.
  const int width = d.WidthOf(d.operand(0));
  if (width != ptx::SizeOf(to)) return;
  i.run = Select(d, to, from);
}

}  // namespace emulation
