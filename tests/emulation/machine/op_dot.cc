// dp4a and dp2a: dot products of bytes, and of 16-bit halves with bytes, added to a 32-bit sum.
#include "tests/emulation/machine/lanes.h"
#include "tests/emulation/machine/ops.h"

namespace emulation {
namespace {

template <class A, class B>
struct Dp4a {
  uint32_t operator()(uint32_t a, uint32_t b, uint32_t c) const {
    for (int k = 0; k < 4; k++) {
      c += static_cast<uint32_t>(static_cast<A>(a >> (8 * k)) * static_cast<B>(b >> (8 * k)));
    }
    return c;
  }
};

template <class A, class B, int kFirst>
struct Dp2a {
  uint32_t operator()(uint32_t a, uint32_t b, uint32_t c) const {
    for (int k = 0; k < 2; k++) {
      c += static_cast<uint32_t>(static_cast<A>(a >> (16 * k)) * static_cast<B>(b >> (8 * (kFirst + k))));
    }
    return c;
  }
};

template <class Op>
constexpr Handler kDot = Ternary<uint32_t, uint32_t, uint32_t, uint32_t, Op>;

template <int kFirst>
Handler SelectDp2a(bool a, bool b) {
  if (a) return b ? kDot<Dp2a<int16_t, int8_t, kFirst>> : kDot<Dp2a<int16_t, uint8_t, kFirst>>;
  return b ? kDot<Dp2a<uint16_t, int8_t, kFirst>> : kDot<Dp2a<uint16_t, uint8_t, kFirst>>;
}

}  // namespace

void DecodeDot(Decoder& d, Instruction& i) {
  i.dst = d.Destination(d.operand(0));
  i.a = d.Source(d.operand(1), 4);
  i.b = d.Source(d.operand(2), 4);
  i.c = d.Source(d.operand(3), 4);
  const bool a = d.TypeAt(1) == ptx::Type::kS32, b = d.TypeAt(0) == ptx::Type::kS32;
  if (d.statement().op[0] == "dp2a") {
    i.run = d.Has("hi") ? SelectDp2a<2>(a, b) : SelectDp2a<0>(a, b);
  } else if (a) {
    i.run = b ? kDot<Dp4a<int8_t, int8_t>> : kDot<Dp4a<int8_t, uint8_t>>;
  } else {
    i.run = b ? kDot<Dp4a<uint8_t, int8_t>> : kDot<Dp4a<uint8_t, uint8_t>>;
  }
}

}  // namespace emulation
