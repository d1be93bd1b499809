// How handlers work on 32 lanes at once, and how the decoder picks the handler for a type. Every lane is computed, so
// that the loop becomes vector instructions; only lanes of the mask are stored.
#pragma once

#include <bit>
#include <cstring>
#include <type_traits>

#include "tests/emulation/machine/warp.h"

namespace emulation {

template <class T>
inline void Store(T* to, const T (&values)[kLanes], Mask mask) {
  if (mask == kAllLanes) {
    memcpy(to, values, sizeof values);
    return;
  }
  for (int lane = 0; lane < kLanes; lane++) {
    if (mask >> lane & 1) to[lane] = values[lane];
  }
}

// Calls f(lane) for each lane of the mask.
template <class F>
inline void ForLanes(Mask mask, F f) {
  for (; mask != 0; mask &= mask - 1) f(std::countr_zero(mask));
}

template <class To, class From, class Op>
void Unary(Warp& w, const Instruction& i, Mask mask) {
  const From* a = Lanes<From>(w, i.a);
  To t[kLanes];
  for (int lane = 0; lane < kLanes; lane++) t[lane] = Op()(a[lane]);
  Store(Lanes<To>(w, i.dst), t, mask);
}

template <class To, class A, class B, class Op>
void Binary(Warp& w, const Instruction& i, Mask mask) {
  const A* a = Lanes<A>(w, i.a);
  const B* b = Lanes<B>(w, i.b);
  To t[kLanes];
  for (int lane = 0; lane < kLanes; lane++) t[lane] = Op()(a[lane], b[lane]);
  Store(Lanes<To>(w, i.dst), t, mask);
}

template <class To, class A, class B, class C, class Op>
void Ternary(Warp& w, const Instruction& i, Mask mask) {
  const A* a = Lanes<A>(w, i.a);
  const B* b = Lanes<B>(w, i.b);
  const C* c = Lanes<C>(w, i.c);
  To t[kLanes];
  for (int lane = 0; lane < kLanes; lane++) t[lane] = Op()(a[lane], b[lane], c[lane]);
  Store(Lanes<To>(w, i.dst), t, mask);
}

template <class T>
struct Tag {
  using type = T;
};

// Calls f(Tag<T>) with the C++ type of a PTX type, and returns its handler; nullptr for types that f is not for.
template <class F>
Handler ForIntegers(ptx::Type type, F f) {
  switch (type) {
    case ptx::Type::kB16:
    case ptx::Type::kU16:
      return f(Tag<uint16_t>());
    case ptx::Type::kS16:
      return f(Tag<int16_t>());
    case ptx::Type::kB32:
    case ptx::Type::kU32:
      return f(Tag<uint32_t>());
    case ptx::Type::kS32:
      return f(Tag<int32_t>());
    case ptx::Type::kB64:
    case ptx::Type::kU64:
      return f(Tag<uint64_t>());
    case ptx::Type::kS64:
      return f(Tag<int64_t>());
    default:
      return nullptr;
  }
}

template <class F>
Handler ForFloats(ptx::Type type, F f) {
  if (type == ptx::Type::kF32) return f(Tag<float>());
  if (type == ptx::Type::kF64) return f(Tag<double>());
  return nullptr;
}

// By size alone.
template <class F>
Handler ForBits(ptx::Type type, F f) {
  switch (ptx::SizeOf(type)) {
    case 2:
      return f(Tag<uint16_t>());
    case 4:
      return f(Tag<uint32_t>());
    case 8:
      return f(Tag<uint64_t>());
    case 16:
      return f(Tag<unsigned __int128>());
    default:
      return nullptr;
  }
}

}  // namespace emulation
