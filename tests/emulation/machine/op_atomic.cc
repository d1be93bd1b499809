// atom and red, lane after lane.
#include <algorithm>

#include "tests/emulation/machine/access.h"
#include "tests/emulation/machine/floats.h"
#include "tests/emulation/machine/ops.h"

namespace emulation {
namespace {

using ptx::Space;

struct Add {
  template <class T>
  static T Apply(T old, T b, T) {
    return old + b;
  }
};
// Halves and their pairs.
template <class H>
struct AddHalf {
  static uint16_t One(uint16_t a, uint16_t b) { return FromFloat<H>(ToFloat(H{a}) + ToFloat(H{b})).bits; }
  static uint16_t Apply(uint16_t old, uint16_t b, uint16_t) { return One(old, b); }
  static uint32_t Apply(uint32_t old, uint32_t b, uint32_t) {
    return uint32_t{One(static_cast<uint16_t>(old >> 16), static_cast<uint16_t>(b >> 16))} << 16 |
           One(static_cast<uint16_t>(old), static_cast<uint16_t>(b));
  }
};
struct Min {
  template <class T>
  static T Apply(T old, T b, T) {
    return std::min(old, b);
  }
};
struct Max {
  template <class T>
  static T Apply(T old, T b, T) {
    return std::max(old, b);
  }
};
// Counts up to b and begins again; counts down from b.
struct Inc {
  static uint32_t Apply(uint32_t old, uint32_t b, uint32_t) { return old >= b ? 0 : old + 1; }
};
struct Dec {
  static uint32_t Apply(uint32_t old, uint32_t b, uint32_t) { return old == 0 || old > b ? b : old - 1; }
};
struct Exch {
  template <class T>
  static T Apply(T, T b, T) {
    return b;
  }
};
struct Cas {
  template <class T>
  static T Apply(T old, T b, T c) {
    return old == b ? c : old;
  }
};
struct And {
  template <class T>
  static T Apply(T old, T b, T) {
    return old & b;
  }
};
struct Or {
  template <class T>
  static T Apply(T old, T b, T) {
    return old | b;
  }
};
struct Xor {
  template <class T>
  static T Apply(T old, T b, T) {
    return old ^ b;
  }
};

template <Space kSpace, class T, class Op>
void Atomic(Warp& w, const Instruction& i, Mask mask) {
  WarpAccess access;
  access.mask = mask;
  access.bytes = sizeof(T);
  ReadAddresses(w, i, access);
  Resolve<kSpace>(w, i, access);
  if (w.launch->options->checked) Inspect<kSpace>(w, i, access, Kind::kAtomic);
  ForLanes(mask, [&](int lane) {
    T old;
    memcpy(&old, access.host[lane], sizeof old);
    const T fresh = Op::Apply(old, Lanes<T>(w, i.b)[lane], Lanes<T>(w, i.c)[lane]);
    memcpy(access.host[lane], &fresh, sizeof fresh);
    Lanes<T>(w, i.dst)[lane] = old;
  });
}

template <class T, class Op>
Handler InSpace(const Decoder& d) {
  if (d.Has("global")) return Atomic<Space::kGlobal, T, Op>;
  if (d.Has("shared") || d.Has("shared::cta")) return Atomic<Space::kShared, T, Op>;
  return d.Has("shared::cluster") ? nullptr : Atomic<Space::kGeneric, T, Op>;
}

template <class T>
Handler SelectInteger(const Decoder& d) {
  if constexpr (sizeof(T) >= 4) {
    if (d.Has("add")) return InSpace<T, Add>(d);
    if (d.Has("min")) return InSpace<T, Min>(d);
    if (d.Has("max")) return InSpace<T, Max>(d);
    if (d.Has("and")) return InSpace<T, And>(d);
    if (d.Has("or")) return InSpace<T, Or>(d);
    if (d.Has("xor")) return InSpace<T, Xor>(d);
    if (d.Has("exch")) return InSpace<T, Exch>(d);
  }
  if constexpr (std::is_same_v<T, uint32_t>) {
    if (d.Has("inc")) return InSpace<T, Inc>(d);
    if (d.Has("dec")) return InSpace<T, Dec>(d);
  }
  return d.Has("cas") ? InSpace<T, Cas>(d) : nullptr;
}

}  // namespace

void DecodeAtom(Decoder& d, Instruction& i) {
  if (d.Has("async") || d.Has("v2") || d.Has("v4") || d.Has("v8")) return;
  const ptx::Type type = d.TypeAt();
  const int bytes = ptx::SizeOf(type);
  const size_t first = d.statement().op[0] == "atom" ? 1 : 0;
  if (first == 1) i.dst = d.Destination(d.operand(0));
  d.Address(d.operand(first), i);
  i.b = d.Source(d.operand(first + 1), bytes);
  if (d.Has("cas")) i.c = d.Source(d.operand(first + 2), bytes);
  i.flags |= kStrong;
  if (d.Has("acquire") || d.Has("acq_rel")) i.flags |= kAcquire;
  if (d.Has("release") || d.Has("acq_rel")) i.flags |= kRelease;
  switch (type) {
    case ptx::Type::kF32:
      i.run = d.Has("add") ? InSpace<float, Add>(d) : nullptr;
      return;
    case ptx::Type::kF64:
      i.run = d.Has("add") ? InSpace<double, Add>(d) : nullptr;
      return;
    case ptx::Type::kF16:
      i.run = d.Has("add") ? InSpace<uint16_t, AddHalf<F16>>(d) : nullptr;
      return;
    case ptx::Type::kBf16:
      i.run = d.Has("add") ? InSpace<uint16_t, AddHalf<Bf16>>(d) : nullptr;
      return;
    case ptx::Type::kF16x2:
      i.run = d.Has("add") ? InSpace<uint32_t, AddHalf<F16>>(d) : nullptr;
      return;
    case ptx::Type::kBf16x2:
      i.run = d.Has("add") ? InSpace<uint32_t, AddHalf<Bf16>>(d) : nullptr;
      return;
    default:
      i.run = ForIntegers(type, [&](auto tag) { return SelectInteger<typename decltype(tag)::type>(d); });
  }
}

}  // namespace emulation
