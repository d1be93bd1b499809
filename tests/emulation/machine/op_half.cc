// f16 and bf16, one or two a lane. Every operation is computed exactly enough that one rounding remains (floats.h).
#include <algorithm>

#include "tests/emulation/machine/floats.h"
#include "tests/emulation/machine/lanes.h"
#include "tests/emulation/machine/ops.h"

namespace emulation {
namespace {

// Sums and products of two fit a float closely enough; of three, a double.
struct Add {
  float operator()(float a, float b, float) const { return a + b; }
};
struct Sub {
  float operator()(float a, float b, float) const { return a - b; }
};
struct Mul {
  float operator()(float a, float b, float) const { return a * b; }
};
struct Fma {
  float operator()(float a, float b, float c) const { return RoundToOdd(static_cast<double>(a) * b + c); }
};
template <bool kNan>
struct Min {
  float operator()(float a, float b, float) const { return Smaller<kNan>(a, b); }
};
template <bool kNan>
struct Max {
  float operator()(float a, float b, float) const { return Larger<kNan>(a, b); }
};
struct Neg {
  float operator()(float a, float, float) const { return -a; }
};
struct Abs {
  float operator()(float a, float, float) const { return std::abs(a); }
};
struct Ex2 {
  float operator()(float a, float, float) const { return std::exp2(a); }
};
struct Tanh {
  float operator()(float a, float, float) const { return std::tanh(a); }
};

enum Clamp { kNone, kRelu, kSaturate };

template <class H, int kPerLane, class Op, Clamp kClamp>
void Half(Warp& w, const Instruction& i, Mask mask) {
  struct Packed {
    H half[kPerLane];
  };
  const Packed* a = Lanes<Packed>(w, i.a);
  const Packed* b = Lanes<Packed>(w, i.b);
  const Packed* c = Lanes<Packed>(w, i.c);
  Packed t[kLanes];
  for (int lane = 0; lane < kLanes; lane++) {
    for (int k = 0; k < kPerLane; k++) {
      float x = Op()(ToFloat(a[lane].half[k]), ToFloat(b[lane].half[k]), ToFloat(c[lane].half[k]));
      if (kClamp == kRelu && x < 0) x = 0;
      if (kClamp == kSaturate) x = x > 0 ? std::min(x, 1.0F) : 0;
      t[lane].half[k] = FromFloat<H>(x);
    }
  }
  Store(Lanes<Packed>(w, i.dst), t, mask);
}

template <class H, int kPerLane, class Op>
Handler Clamped(const Decoder& d) {
  if (d.Has("relu")) return Half<H, kPerLane, Op, kRelu>;
  if (d.Has("sat")) return Half<H, kPerLane, Op, kSaturate>;
  return Half<H, kPerLane, Op, kNone>;
}

template <class H, int kPerLane>
Handler Select(const Decoder& d, std::string_view name) {
  if (name == "add") return Clamped<H, kPerLane, Add>(d);
  if (name == "sub") return Clamped<H, kPerLane, Sub>(d);
  if (name == "mul") return Clamped<H, kPerLane, Mul>(d);
  if (name == "fma") return Clamped<H, kPerLane, Fma>(d);
  if (d.Has("xorsign")) return nullptr;
  if (name == "min") return d.Has("NaN") ? Half<H, kPerLane, Min<true>, kNone> : Half<H, kPerLane, Min<false>, kNone>;
  if (name == "max") return d.Has("NaN") ? Half<H, kPerLane, Max<true>, kNone> : Half<H, kPerLane, Max<false>, kNone>;
  if (name == "neg") return Half<H, kPerLane, Neg, kNone>;
  if (name == "abs") return Half<H, kPerLane, Abs, kNone>;
  if (name == "ex2") return Half<H, kPerLane, Ex2, kNone>;
  if (name == "tanh") return Half<H, kPerLane, Tanh, kNone>;
  return nullptr;
}

}  // namespace

Handler HalfHandler(const Decoder& d, std::string_view name, ptx::Type type) {
  switch (type) {
    case ptx::Type::kF16:
      return Select<F16, 1>(d, name);
    case ptx::Type::kF16x2:
      return Select<F16, 2>(d, name);
    case ptx::Type::kBf16:
      return Select<Bf16, 1>(d, name);
    case ptx::Type::kBf16x2:
      return Select<Bf16, 2>(d, name);
    default:
      return nullptr;
  }
}

}  // namespace emulation
