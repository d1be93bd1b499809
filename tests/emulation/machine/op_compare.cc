// setp, set, selp, slct, testp.
#include <algorithm>
#include <array>
#include <cmath>

#include "tests/emulation/machine/floats.h"
#include "tests/emulation/machine/lanes.h"
#include "tests/emulation/machine/ops.h"

namespace emulation {
namespace {

// Ordered comparisons are false for NaN, those with u true; lo, ls, hi, hs are the unsigned lt, le, gt, ge.
enum Comparison : uint8_t { kEq, kNe, kLt, kLe, kGt, kGe, kEqu, kNeu, kLtu, kLeu, kGtu, kGeu, kNum, kNan, kCount };
constexpr std::array<std::string_view, kCount> kComparisons = {"eq",  "ne",  "lt",  "le",  "gt",  "ge",  "equ",
                                                               "neu", "ltu", "leu", "gtu", "geu", "num", "nan"};
enum Combine : uint8_t { kReplace, kAnd, kOr, kXor };

template <class T, class F>
Mask Collect(const T* a, const T* b, F f) {
  Mask result = 0;
  for (int lane = 0; lane < kLanes; lane++) result |= static_cast<Mask>(f(a[lane], b[lane])) << lane;
  return result;
}

template <class T>
Mask Compare(uint8_t comparison, const T* a, const T* b) {
  switch (comparison) {
    case kEq:
      return Collect(a, b, [](T x, T y) { return x == y; });
    case kNe:
      return Collect(a, b, [](T x, T y) { return x != y && x == x && y == y; });
    case kLt:
      return Collect(a, b, [](T x, T y) { return x < y; });
    case kLe:
      return Collect(a, b, [](T x, T y) { return x <= y; });
    case kGt:
      return Collect(a, b, [](T x, T y) { return x > y; });
    case kGe:
      return Collect(a, b, [](T x, T y) { return x >= y; });
    case kEqu:
      return Collect(a, b, [](T x, T y) { return x == y || x != x || y != y; });
    case kNeu:
      return Collect(a, b, [](T x, T y) { return x != y; });
    case kLtu:
      return Collect(a, b, [](T x, T y) { return !(x >= y); });
    case kLeu:
      return Collect(a, b, [](T x, T y) { return !(x > y); });
    case kGtu:
      return Collect(a, b, [](T x, T y) { return !(x <= y); });
    case kGeu:
      return Collect(a, b, [](T x, T y) { return !(x < y); });
    case kNum:
      return Collect(a, b, [](T x, T y) { return x == x && y == y; });
    default:
      return Collect(a, b, [](T x, T y) { return x != x || y != y; });
  }
}

// Result of a comparison of the registers a and b. kPart: which half of a packed type.
template <class T>
Mask CompareRegisters(const Warp& w, const Instruction& i) {
  return Compare<T>(i.mode, Lanes<T>(w, i.a), Lanes<T>(w, i.b));
}

template <class H, int kPerLane, int kPart>
Mask CompareHalves(const Warp& w, const Instruction& i) {
  float a[kLanes], b[kLanes];
  for (int lane = 0; lane < kLanes; lane++) {
    a[lane] = ToFloat(Lanes<H>(w, i.a)[lane * kPerLane + kPart]);
    b[lane] = ToFloat(Lanes<H>(w, i.b)[lane * kPerLane + kPart]);
  }
  return Compare<float>(i.mode, a, b);
}

Mask Combined(const Warp& w, const Instruction& i, Mask p) {
  if (i.value == kReplace) return p;
  const Mask c = i.flags & 1 ? ~Predicate(w, i.c) : Predicate(w, i.c);
  return i.value == kAnd ? p & c : i.value == kOr ? p | c : p ^ c;
}

using Comparer = Mask (*)(const Warp&, const Instruction&);

// setp: p = comparison, q = its contrary, each combined with c.
template <Comparer kCompare>
void Setp(Warp& w, const Instruction& i, Mask mask) {
  const Mask p = kCompare(w, i);
  const Mask first = Combined(w, i, p), second = Combined(w, i, ~p);
  SetPredicate(w, i.dst, mask, first);
  if (i.dst2 != 0) SetPredicate(w, i.dst2, mask, second);
}

// setp of a packed type: p for the low half, q for the high one.
template <Comparer kLow, Comparer kHigh>
void SetpPacked(Warp& w, const Instruction& i, Mask mask) {
  const Mask low = Combined(w, i, kLow(w, i)), high = Combined(w, i, kHigh(w, i));
  SetPredicate(w, i.dst, mask, low);
  SetPredicate(w, i.dst2, mask, high);
}

// set: `value` of truth is in d, per part for packed types.
template <class To, Comparer kCompare>
void Set(Warp& w, const Instruction& i, Mask mask) {
  const Mask p = Combined(w, i, kCompare(w, i));
  To t[kLanes];
  const To yes = Lanes<To>(w, i.d)[0];
  for (int lane = 0; lane < kLanes; lane++) t[lane] = p >> lane & 1 ? yes : To{0};
  Store(Lanes<To>(w, i.dst), t, mask);
}

template <Comparer kLow, Comparer kHigh>
void SetPacked(Warp& w, const Instruction& i, Mask mask) {
  const Mask low = Combined(w, i, kLow(w, i)), high = Combined(w, i, kHigh(w, i));
  uint32_t t[kLanes];
  const uint32_t yes = Lanes<uint32_t>(w, i.d)[0];
  for (int lane = 0; lane < kLanes; lane++) {
    t[lane] = (low >> lane & 1 ? yes & 0xffff : 0) | (high >> lane & 1 ? yes & 0xffff0000 : 0);
  }
  Store(Lanes<uint32_t>(w, i.dst), t, mask);
}

// Operands a, b, c from `first` on, the comparison and the boolean operation.
void DecodeComparison(Decoder& d, Instruction& i, int bytes) {
  i.a = d.Source(d.operand(1), bytes);
  i.b = d.Source(d.operand(2), bytes);
  i.mode = kCount;
  for (const std::string_view word : d.statement().op) {
    const auto* it = std::find(kComparisons.begin(), kComparisons.end(), word);
    if (it != kComparisons.end()) i.mode = static_cast<uint8_t>(it - kComparisons.begin());
    if (word == "lo") i.mode = kLt;
    if (word == "ls") i.mode = kLe;
    if (word == "hi") i.mode = kGt;
    if (word == "hs") i.mode = kGe;
  }
  if (i.mode == kCount) d.Fail("the comparison is missing");
  i.value = d.Has("and") ? kAnd : d.Has("or") ? kOr : d.Has("xor") ? kXor : kReplace;
  if (i.value == kReplace) return;
  bool negated = false;
  i.c = d.PredicateSource(d.operand(3), negated);
  i.flags = negated ? 1 : 0;
}

// Calls f with the comparer of a type as a template argument.
template <class F>
Handler ForComparers(ptx::Type type, F f) {
  switch (type) {
    case ptx::Type::kF32:
      return f.template operator()<CompareRegisters<float>>();
    case ptx::Type::kF64:
      return f.template operator()<CompareRegisters<double>>();
    case ptx::Type::kF16:
      return f.template operator()<CompareHalves<F16, 1, 0>>();
    case ptx::Type::kBf16:
      return f.template operator()<CompareHalves<Bf16, 1, 0>>();
    default:
      return ForIntegers(
          type, [&](auto tag) { return f.template operator()<CompareRegisters<typename decltype(tag)::type>>(); });
  }
}

template <class F>
Handler ForPackedComparers(ptx::Type type, F f) {
  if (type == ptx::Type::kF16x2) return f.template operator()<CompareHalves<F16, 2, 0>, CompareHalves<F16, 2, 1>>();
  if (type == ptx::Type::kBf16x2) return f.template operator()<CompareHalves<Bf16, 2, 0>, CompareHalves<Bf16, 2, 1>>();
  return nullptr;
}

uint64_t Truth(ptx::Type type) {
  switch (type) {
    case ptx::Type::kF32:
      return 0x3f800000;
    case ptx::Type::kF16:
      return 0x3c00;
    case ptx::Type::kF16x2:
      return 0x3c003c00;
    case ptx::Type::kBf16:
      return 0x3f80;
    case ptx::Type::kBf16x2:
      return 0x3f803f80;
    default:
      return ~0ull;
  }
}

// The bits of the kind that testp asks for.
void Testp(Warp& w, const Instruction& i, Mask mask) {
  Mask result = 0;
  for (int lane = 0; lane < kLanes; lane++) {
    const int kind =
        i.width == 4 ? std::fpclassify(Lanes<float>(w, i.a)[lane]) : std::fpclassify(Lanes<double>(w, i.a)[lane]);
    const bool finite = kind != FP_NAN && kind != FP_INFINITE;
    const bool yes[] = {finite,         kind == FP_INFINITE, kind != FP_NAN,
                        kind == FP_NAN, kind == FP_NORMAL,   kind == FP_SUBNORMAL};
    result |= static_cast<Mask>(yes[i.mode]) << lane;
  }
  SetPredicate(w, i.dst, mask, result);
}

template <class T>
void Selp(Warp& w, const Instruction& i, Mask mask) {
  const Mask p = i.flags & 1 ? ~Predicate(w, i.c) : Predicate(w, i.c);
  const T* a = Lanes<T>(w, i.a);
  const T* b = Lanes<T>(w, i.b);
  T t[kLanes];
  for (int lane = 0; lane < kLanes; lane++) t[lane] = p >> lane & 1 ? a[lane] : b[lane];
  Store(Lanes<T>(w, i.dst), t, mask);
}

template <class C>
struct Slct {
  template <class T>
  T operator()(T a, T b, C c) const {
    return c >= 0 ? a : b;
  }
};

}  // namespace

void DecodeSetp(Decoder& d, Instruction& i) {
  const ptx::Type type = d.TypeAt();
  const ptx::Operand& to = d.operand(0);
  const bool pair = to.kind == ptx::Operand::Kind::kPair;
  i.dst = d.Destination(pair ? to.elements[0] : to);
  if (pair) i.dst2 = d.Destination(to.elements[1]);
  DecodeComparison(d, i, ptx::SizeOf(type));
  i.run = ForComparers(type, [&]<Comparer kCompare>() -> Handler { return Setp<kCompare>; });
  if (i.run == nullptr) {
    i.run =
        ForPackedComparers(type, [&]<Comparer kLow, Comparer kHigh>() -> Handler { return SetpPacked<kLow, kHigh>; });
  }
}

void DecodeSet(Decoder& d, Instruction& i) {
  const ptx::Type to = d.TypeAt(1), from = d.TypeAt(0);
  i.dst = d.Destination(d.operand(0));
  DecodeComparison(d, i, ptx::SizeOf(from));
  const int bytes = ptx::SizeOf(to);
  i.d = d.Constant(Truth(to), bytes);
  i.run = ForPackedComparers(from, [&]<Comparer kLow, Comparer kHigh>() -> Handler { return SetPacked<kLow, kHigh>; });
  if (i.run != nullptr) return;
  i.run = ForComparers(from, [&]<Comparer kCompare>() -> Handler {
    if (bytes == 2) return Set<uint16_t, kCompare>;
    return bytes == 4 ? Set<uint32_t, kCompare> : nullptr;
  });
}

void DecodeSelp(Decoder& d, Instruction& i) {
  const int bytes = ptx::SizeOf(d.TypeAt());
  bool negated = false;
  i.dst = d.Destination(d.operand(0));
  i.a = d.Source(d.operand(1), bytes);
  i.b = d.Source(d.operand(2), bytes);
  i.c = d.PredicateSource(d.operand(3), negated);
  i.flags = negated ? 1 : 0;
  i.run = ForBits(d.TypeAt(), [](auto tag) -> Handler { return Selp<typename decltype(tag)::type>; });
}

// slct.TYPE.{s32, f32}: a where c ≥ 0, else b.
void DecodeSlct(Decoder& d, Instruction& i) {
  const ptx::Type type = d.TypeAt(1);
  const int bytes = ptx::SizeOf(type);
  i.dst = d.Destination(d.operand(0));
  i.a = d.Source(d.operand(1), bytes);
  i.b = d.Source(d.operand(2), bytes);
  i.c = d.Source(d.operand(3), 4);
  i.run = ForBits(type, [&](auto tag) -> Handler {
    using T = typename decltype(tag)::type;
    if (d.TypeAt() == ptx::Type::kF32) return Ternary<T, T, T, float, Slct<float>>;
    return Ternary<T, T, T, int32_t, Slct<int32_t>>;
  });
}

void DecodeTestp(Decoder& d, Instruction& i) {
  static constexpr std::string_view kKinds[] = {"finite", "infinite", "number", "notanumber", "normal", "subnormal"};
  i.dst = d.Destination(d.operand(0));
  i.width = static_cast<uint8_t>(ptx::SizeOf(d.TypeAt()));
  i.a = d.Source(d.operand(1), i.width);
  for (uint8_t k = 0; k < 6; k++) {
    if (!d.Has(kKinds[k])) continue;
    i.mode = k;
    i.run = Testp;
  }
}

}  // namespace emulation
