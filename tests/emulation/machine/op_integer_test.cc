// Every integer and bit opcode against plain C++.
#include <algorithm>
#include <bit>

#include "tests/emulation/machine/lanewise.h"

namespace emulation {
namespace {

using Wide = __int128;

template <class T>
T Wrap(Wide x) {
  return static_cast<T>(x);
}

template <class T>
void CheckArithmetic(const std::string& t) {
  Check<T, T, T>("add." + t, [](T a, T b) { return Wrap<T>(Wide{a} + b); });
  Check<T, T, T>("sub." + t, [](T a, T b) { return Wrap<T>(Wide{a} - b); });
  Check<T, T, T>("mul.lo." + t,
                 [](T a, T b) { return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b)); });
  Check<T, T, T>("min." + t, [](T a, T b) { return a < b ? a : b; });
  Check<T, T, T>("max." + t, [](T a, T b) { return a > b ? a : b; });
}

OPCODE_TEST(add) {
  CheckArithmetic<uint16_t>("u16");
  CheckArithmetic<int16_t>("s16");
  CheckArithmetic<uint32_t>("u32");
  CheckArithmetic<int32_t>("s32");
  CheckArithmetic<uint64_t>("u64");
  CheckArithmetic<int64_t>("s64");
  Check<int32_t, int32_t, int32_t>(
      "add.sat.s32", [](int32_t a, int32_t b) { return std::clamp<int64_t>(int64_t{a} + b, INT32_MIN, INT32_MAX); });
}

OPCODE_TEST(sub) {
  Check<int32_t, int32_t, int32_t>(
      "sub.sat.s32", [](int32_t a, int32_t b) { return std::clamp<int64_t>(int64_t{a} - b, INT32_MIN, INT32_MAX); });
}

OPCODE_TEST(mul) {
  Check<uint32_t, uint32_t, uint32_t>("mul.hi.u32", [](uint32_t a, uint32_t b) { return uint64_t{a} * b >> 32; });
  Check<int32_t, int32_t, int32_t>("mul.hi.s32", [](int32_t a, int32_t b) { return int64_t{a} * b >> 32; });
  Check<uint64_t, uint64_t, uint64_t>(
      "mul.hi.u64", [](uint64_t a, uint64_t b) { return static_cast<unsigned __int128>(a) * b >> 64; });
  Check<int64_t, int64_t, int64_t>("mul.hi.s64", [](int64_t a, int64_t b) { return Wide{a} * b >> 64; });
  Check<int32_t, int16_t, int16_t>("mul.wide.s16", [](int16_t a, int16_t b) { return int32_t{a} * b; });
  Check<uint32_t, uint16_t, uint16_t>("mul.wide.u16", [](uint16_t a, uint16_t b) { return uint32_t{a} * b; });
  Check<int64_t, int32_t, int32_t>("mul.wide.s32", [](int32_t a, int32_t b) { return int64_t{a} * b; });
  Check<uint64_t, uint32_t, uint32_t>("mul.wide.u32", [](uint32_t a, uint32_t b) { return uint64_t{a} * b; });
}

OPCODE_TEST(mad) {
  Check<uint32_t, uint32_t, uint32_t, uint32_t>("mad.lo.u32",
                                                [](uint32_t a, uint32_t b, uint32_t c) { return a * b + c; });
  Check<uint16_t, uint16_t, uint16_t, uint16_t>("mad.lo.u16",
                                                [](uint32_t a, uint32_t b, uint32_t c) { return a * b + c; });
  Check<int32_t, int32_t, int32_t, int32_t>(
      "mad.hi.s32", [](int32_t a, int32_t b, int32_t c) { return Wrap<int32_t>((int64_t{a} * b >> 32) + Wide{c}); });
  Check<uint64_t, uint64_t, uint64_t, uint64_t>("mad.lo.u64",
                                                [](uint64_t a, uint64_t b, uint64_t c) { return a * b + c; });
  Check<int64_t, int32_t, int32_t, int64_t>(
      "mad.wide.s32", [](int32_t a, int32_t b, int64_t c) { return Wrap<int64_t>(Wide{int64_t{a} * b} + c); });
  Check<uint64_t, uint32_t, uint32_t, uint64_t>("mad.wide.u32",
                                                [](uint32_t a, uint32_t b, uint64_t c) { return uint64_t{a} * b + c; });
}

OPCODE_TEST(mul24) {
  const auto cut = [](int32_t a) { return int64_t{static_cast<int32_t>(static_cast<uint32_t>(a) << 8) >> 8}; };
  Check<int32_t, int32_t, int32_t>("mul24.lo.s32", [=](int32_t a, int32_t b) { return cut(a) * cut(b); });
  Check<int32_t, int32_t, int32_t>("mul24.hi.s32", [=](int32_t a, int32_t b) { return cut(a) * cut(b) >> 16; });
  Check<uint32_t, uint32_t, uint32_t>("mul24.lo.u32",
                                      [](uint64_t a, uint64_t b) { return (a & 0xffffff) * (b & 0xffffff); });
  Check<uint32_t, uint32_t, uint32_t>("mul24.hi.u32",
                                      [](uint64_t a, uint64_t b) { return (a & 0xffffff) * (b & 0xffffff) >> 16; });
}

OPCODE_TEST(mad24) {
  Check<uint32_t, uint32_t, uint32_t, uint32_t>(
      "mad24.lo.u32", [](uint64_t a, uint64_t b, uint64_t c) { return (a & 0xffffff) * (b & 0xffffff) + c; });
}

OPCODE_TEST(div) {
  Check<uint32_t, uint32_t, uint32_t>("div.u32", [](uint32_t a, uint32_t b) { return b == 0 ? ~0u : a / b; });
  Check<int32_t, int32_t, int32_t>(
      "div.s32", [](int32_t a, int32_t b) { return b == 0 ? -1 : static_cast<int32_t>(int64_t{a} / b); });
  Check<uint64_t, uint64_t, uint64_t>("div.u64", [](uint64_t a, uint64_t b) { return b == 0 ? ~uint64_t{0} : a / b; });
  Check<int64_t, int64_t, int64_t>(
      "div.s64", [](int64_t a, int64_t b) { return b == 0 ? -1 : static_cast<int64_t>(Wide{a} / b); });
  Check<int16_t, int16_t, int16_t>("div.s16", [](int16_t a, int16_t b) { return b == 0 ? -1 : a / b; });
}

OPCODE_TEST(rem) {
  Check<uint32_t, uint32_t, uint32_t>("rem.u32", [](uint32_t a, uint32_t b) { return b == 0 ? a : a % b; });
  Check<int32_t, int32_t, int32_t>(
      "rem.s32", [](int32_t a, int32_t b) { return b == 0 ? a : static_cast<int32_t>(int64_t{a} % b); });
  Check<int64_t, int64_t, int64_t>("rem.s64",
                                   [](int64_t a, int64_t b) { return b == 0 ? a : static_cast<int64_t>(Wide{a} % b); });
}

OPCODE_TEST(abs) {
  Check<int32_t, int32_t>("abs.s32", [](int32_t a) { return Wrap<int32_t>(a < 0 ? -Wide{a} : a); });
  Check<int64_t, int64_t>("abs.s64", [](int64_t a) { return Wrap<int64_t>(a < 0 ? -Wide{a} : Wide{a}); });
  Check<int16_t, int16_t>("abs.s16", [](int16_t a) { return Wrap<int16_t>(a < 0 ? -Wide{a} : Wide{a}); });
}

OPCODE_TEST(neg) {
  Check<int32_t, int32_t>("neg.s32", [](int32_t a) { return Wrap<int32_t>(-Wide{a}); });
  Check<int64_t, int64_t>("neg.s64", [](int64_t a) { return Wrap<int64_t>(-Wide{a}); });
}

OPCODE_TEST(min) {
  Check<int16_t, int16_t, int16_t>("min.s16", [](int16_t a, int16_t b) { return std::min(a, b); });
}
OPCODE_TEST(max) {
  Check<uint64_t, uint64_t, uint64_t>("max.u64", [](uint64_t a, uint64_t b) { return std::max(a, b); });
}

OPCODE_TEST(sad) {
  Check<int32_t, int32_t, int32_t, int32_t>("sad.s32", [](int32_t a, int32_t b, int32_t c) {
    return Wrap<int32_t>((a < b ? Wide{b} - a : Wide{a} - b) + c);
  });
  Check<uint32_t, uint32_t, uint32_t, uint32_t>(
      "sad.u32", [](uint32_t a, uint32_t b, uint32_t c) { return (a < b ? b - a : a - b) + c; });
}

OPCODE_TEST(and) {
  Check<uint32_t, uint32_t, uint32_t>("and.b32", [](uint32_t a, uint32_t b) { return a & b; });
  Check<uint64_t, uint64_t, uint64_t>("and.b64", [](uint64_t a, uint64_t b) { return a & b; });
}
OPCODE_TEST(or) {
  Check<uint16_t, uint16_t, uint16_t>("or.b16", [](uint16_t a, uint16_t b) { return a | b; });
}
OPCODE_TEST(xor) {
  Check<uint64_t, uint64_t, uint64_t>("xor.b64", [](uint64_t a, uint64_t b) { return a ^ b; });
}
OPCODE_TEST(not ) {
  Check<uint32_t, uint32_t>("not.b32", [](uint32_t a) { return ~a; });
}
OPCODE_TEST(cnot) {
  Check<uint32_t, uint32_t>("cnot.b32", [](uint32_t a) { return a == 0 ? 1 : 0; });
}

OPCODE_TEST(shl) {
  Check<uint32_t, uint32_t, uint32_t>("shl.b32", [](uint32_t a, uint32_t n) { return n > 31 ? 0 : a << n; });
  Check<uint64_t, uint64_t, uint32_t>("shl.b64", [](uint64_t a, uint32_t n) { return n > 63 ? 0 : a << n; });
  Check<uint16_t, uint16_t, uint32_t>("shl.b16", [](uint16_t a, uint32_t n) { return n > 15 ? 0 : a << n; });
}

OPCODE_TEST(shr) {
  Check<uint32_t, uint32_t, uint32_t>("shr.u32", [](uint32_t a, uint32_t n) { return n > 31 ? 0 : a >> n; });
  Check<int32_t, int32_t, uint32_t>("shr.s32", [](int32_t a, uint32_t n) { return a >> std::min(n, 31u); });
  Check<int64_t, int64_t, uint32_t>("shr.s64", [](int64_t a, uint32_t n) { return a >> std::min(n, 63u); });
  Check<uint64_t, uint64_t, uint32_t>("shr.b64", [](uint64_t a, uint32_t n) { return n > 63 ? 0 : a >> n; });
}

OPCODE_TEST(popc) {
  Check<uint32_t, uint32_t>("popc.b32", [](uint32_t a) { return std::popcount(a); });
  Check<uint32_t, uint64_t>("popc.b64", [](uint64_t a) { return std::popcount(a); });
}
OPCODE_TEST(clz) {
  Check<uint32_t, uint32_t>("clz.b32", [](uint32_t a) { return std::countl_zero(a); });
  Check<uint32_t, uint64_t>("clz.b64", [](uint64_t a) { return std::countl_zero(a); });
}

OPCODE_TEST(brev) {
  Check<uint32_t, uint32_t>("brev.b32", [](uint32_t a) {
    uint32_t r = 0;
    for (int k = 0; k < 32; k++) r = r << 1 | (a >> k & 1);
    return r;
  });
}

OPCODE_TEST(bfind) {
  const auto find = [](uint64_t a) { return a == 0 ? ~0u : 63u - std::countl_zero(a); };
  Check<uint32_t, uint32_t>("bfind.u32", [=](uint32_t a) { return find(a); });
  Check<uint32_t, int32_t>("bfind.s32", [=](int32_t a) { return find(static_cast<uint32_t>(a < 0 ? ~a : a)); });
  Check<uint32_t, uint64_t>("bfind.u64", [=](uint64_t a) { return find(a); });
  Check<uint32_t, uint32_t>("bfind.shiftamt.u32", [=](uint32_t a) { return a == 0 ? ~0u : 31 - find(a); });
}

// A field beyond the top reads zeros, or for signed types copies of the top bit.
template <class T>
T ExtractField(T a, uint32_t position, uint32_t length) {
  constexpr uint32_t kBits = 8 * sizeof(T);
  position &= 0xff;
  length &= 0xff;
  T result = 0;
  const auto bit = [&](uint32_t k) -> T { return k < kBits ? a >> k & 1 : 0; };
  const T sign = length == 0 || std::is_unsigned_v<T> ? T{0} : bit(std::min(position + length - 1, kBits - 1));
  for (uint32_t k = 0; k < kBits; k++) {
    const bool inside = k < length && position + k < kBits;
    if (inside ? bit(position + k) : sign) result |= static_cast<T>(uint64_t{1} << k);
  }
  return result;
}

OPCODE_TEST(bfe) {
  Check<uint32_t, uint32_t, uint32_t, uint32_t>("bfe.u32", ExtractField<uint32_t>);
  Check<int32_t, int32_t, uint32_t, uint32_t>("bfe.s32", ExtractField<int32_t>);
  Check<uint64_t, uint64_t, uint32_t, uint32_t>("bfe.u64", ExtractField<uint64_t>);
  Check<int64_t, int64_t, uint32_t, uint32_t>("bfe.s64", ExtractField<int64_t>);
}

template <class T>
T InsertField(T a, T b, uint32_t position, uint32_t length) {
  for (uint32_t k = 0; k < (length & 0xff) && (position & 0xff) + k < 8 * sizeof(T); k++) {
    const T bit = T{1} << ((position & 0xff) + k);
    b = (k < 8 * sizeof(T) && (a >> k & 1)) ? b | bit : b & ~bit;
  }
  return b;
}

OPCODE_TEST(bfi) {
  Check<uint32_t, uint32_t, uint32_t, uint32_t, uint32_t>("bfi.b32", InsertField<uint32_t>);
  Check<uint64_t, uint64_t, uint64_t, uint32_t, uint32_t>("bfi.b64", InsertField<uint64_t>);
}

OPCODE_TEST(bmsk) {
  const auto ones = [](uint32_t position, uint32_t count) {
    uint32_t r = 0;
    for (uint64_t k = position; k < uint64_t{position} + count && k < 32; k++) r |= 1u << k;
    return r;
  };
  Check<uint32_t, uint32_t, uint32_t>("bmsk.clamp.b32", ones);
  Check<uint32_t, uint32_t, uint32_t>("bmsk.wrap.b32", [=](uint32_t a, uint32_t b) { return ones(a & 31, b & 31); });
}

OPCODE_TEST(szext) {
  const auto low = [](uint32_t a, uint32_t count, bool sign) {
    uint32_t r = 0;
    for (uint32_t k = 0; k < 32 && count > 0; k++) r |= (k < count || sign ? a >> std::min(k, count - 1) & 1 : 0) << k;
    return r;
  };
  Check<uint32_t, uint32_t, uint32_t>("szext.clamp.u32", [=](uint32_t a, uint32_t b) { return low(a, b, false); });
  Check<uint32_t, uint32_t, uint32_t>("szext.wrap.u32", [=](uint32_t a, uint32_t b) { return low(a, b & 31, false); });
  Check<uint32_t, uint32_t, uint32_t>("szext.clamp.s32", [=](uint32_t a, uint32_t b) { return low(a, b, true); });
  Check<uint32_t, uint32_t, uint32_t>("szext.wrap.s32", [=](uint32_t a, uint32_t b) { return low(a, b & 31, true); });
}

OPCODE_TEST(lop3) {
  for (const int table : {0x00, 0x80, 0x96, 0xe8, 0xca, 0xfe, 0x1b, 0xff}) {
    const auto reference = [=](uint32_t a, uint32_t b, uint32_t c) {
      uint32_t r = 0;
      for (int k = 0; k < 32; k++)
        r |= static_cast<uint32_t>(table >> ((a >> k & 1) << 2 | (b >> k & 1) << 1 | (c >> k & 1)) & 1) << k;
      return r;
    };
    Check<uint32_t, uint32_t, uint32_t, uint32_t>("lop3.b32", reference, ", " + std::to_string(table));
  }
}

uint32_t PickBytes(uint32_t a, uint32_t b, uint32_t selector) {
  uint32_t r = 0;
  for (int k = 0; k < 4; k++) {
    const uint32_t pick = selector >> 4 * k & 0xf, from = pick & 4 ? b : a;
    uint32_t byte = from >> 8 * (pick & 3) & 0xff;
    if (pick & 8) byte = byte >> 7 ? 0xff : 0;
    r |= byte << 8 * k;
  }
  return r;
}

OPCODE_TEST(prmt) {
  Check<uint32_t, uint32_t, uint32_t, uint32_t>("prmt.b32", PickBytes);
  Check<uint32_t, uint32_t, uint32_t, uint32_t>(
      "prmt.b32.f4e", [](uint64_t a, uint64_t b, uint32_t c) { return (b << 32 | a) >> 8 * (c & 3); });
  Check<uint32_t, uint32_t, uint32_t, uint32_t>(
      "prmt.b32.rc8", [](uint32_t a, uint32_t, uint32_t c) { return (a >> 8 * (c & 3) & 0xff) * 0x01010101u; });
  Check<uint32_t, uint32_t, uint32_t, uint32_t>(
      "prmt.b32.rc16", [](uint32_t a, uint32_t, uint32_t c) { return (a >> 16 * (c & 1) & 0xffff) * 0x00010001u; });
  // Byte k is byte max(k, c) or min(k, c) of a; backward from c through {b, a}.
  Check<uint32_t, uint32_t, uint32_t, uint32_t>("prmt.b32.ecl", [](uint32_t a, uint32_t b, uint32_t c) {
    uint32_t s = 0;
    for (uint32_t k = 0; k < 4; k++) s |= std::max(k, c & 3) << 4 * k;
    return PickBytes(a, b, s);
  });
  Check<uint32_t, uint32_t, uint32_t, uint32_t>("prmt.b32.ecr", [](uint32_t a, uint32_t b, uint32_t c) {
    uint32_t s = 0;
    for (uint32_t k = 0; k < 4; k++) s |= std::min(k, c & 3) << 4 * k;
    return PickBytes(a, b, s);
  });
  Check<uint32_t, uint32_t, uint32_t, uint32_t>("prmt.b32.b4e", [](uint32_t a, uint32_t b, uint32_t c) {
    uint32_t s = 0;
    for (uint32_t k = 0; k < 4; k++) s |= (((c & 3) - k) & 7) << 4 * k;
    return PickBytes(a, b, s);
  });
}

OPCODE_TEST(shf) {
  const auto both = [](uint32_t a, uint32_t b) { return uint64_t{b} << 32 | a; };
  Check<uint32_t, uint32_t, uint32_t, uint32_t>(
      "shf.l.wrap.b32", [=](uint32_t a, uint32_t b, uint32_t c) { return both(a, b) << (c & 31) >> 32; });
  Check<uint32_t, uint32_t, uint32_t, uint32_t>(
      "shf.l.clamp.b32", [=](uint32_t a, uint32_t b, uint32_t c) { return both(a, b) << std::min(c, 32u) >> 32; });
  Check<uint32_t, uint32_t, uint32_t, uint32_t>(
      "shf.r.wrap.b32", [=](uint32_t a, uint32_t b, uint32_t c) { return both(a, b) >> (c & 31); });
  Check<uint32_t, uint32_t, uint32_t, uint32_t>(
      "shf.r.clamp.b32", [=](uint32_t a, uint32_t b, uint32_t c) { return both(a, b) >> std::min(c, 32u); });
}

template <class A, class B>
uint32_t FourProducts(uint32_t a, uint32_t b, uint32_t c) {
  int64_t sum = static_cast<int32_t>(c);
  for (int k = 0; k < 4; k++) sum += int64_t{static_cast<A>(a >> 8 * k & 0xff)} * static_cast<B>(b >> 8 * k & 0xff);
  return static_cast<uint32_t>(sum);
}

OPCODE_TEST(dp4a) {
  Check<uint32_t, uint32_t, uint32_t, uint32_t>("dp4a.s32.s32", FourProducts<int8_t, int8_t>);
  Check<uint32_t, uint32_t, uint32_t, uint32_t>("dp4a.u32.u32", FourProducts<uint8_t, uint8_t>);
  Check<uint32_t, uint32_t, uint32_t, uint32_t>("dp4a.s32.u32", FourProducts<int8_t, uint8_t>);
}

OPCODE_TEST(dp2a) {
  const auto half = [](uint32_t a, uint32_t b, uint32_t c) {
    return static_cast<uint32_t>(static_cast<int16_t>(a) * static_cast<int8_t>(b >> 16) +
                                 static_cast<int16_t>(a >> 16) * static_cast<int8_t>(b >> 24)) +
           c;
  };
  Check<uint32_t, uint32_t, uint32_t, uint32_t>("dp2a.hi.s32.s32", half);
  Check<uint32_t, uint32_t, uint32_t, uint32_t>(
      "dp2a.lo.s32.s32", [=](uint32_t a, uint32_t b, uint32_t c) { return half(a, b << 16, c); });
}

// 64-bit sums, differences and products from 32-bit words with carries.
void CheckWords(const std::string& low, const std::string& high, uint64_t (*reference)(uint64_t, uint64_t)) {
  SCOPED_TRACE(low + " " + high);
  std::mt19937 random(7);
  const std::vector<uint64_t> a = Values<uint64_t>(random), b = Values<uint64_t>(random);
  TestDevice device;
  device.Load(KernelText(3,
                         "mov.u32 %r9, %ctaid.x;\nmad.lo.u32 %r9, %r9, 256, %t;\nmul.wide.u32 %d0, %r9, 8;\nadd.u64 "
                         "%d1, %d0, %p0;\nadd.u64 %d2, %d0, %p1;\nadd.u64 %d3, %d0, %p2;\n"
                         "ld.global.v2.u32 {%r0, %r1}, [%d1];\nld.global.v2.u32 {%r2, %r3}, [%d2];\n" +
                             low + "\n" + high + "\nst.global.v2.u32 [%d3], {%r4, %r5};\n"));
  const uint64_t out = device.Allocate(kValues * 8);
  device.Run("K", {kValues / 256}, {256}, {device.Upload(a), device.Upload(b), out});
  const std::vector<uint64_t> results = device.Download<uint64_t>(out, kValues);
  for (int k = 0; k < kValues; k++) ASSERT_EQ(results[k], reference(a[k], b[k])) << a[k] << " " << b[k];
}

OPCODE_TEST(addc) {
  CheckWords("add.cc.u32 %r4, %r0, %r2;", "addc.u32 %r5, %r1, %r3;", [](uint64_t a, uint64_t b) { return a + b; });
}
OPCODE_TEST(subc) {
  CheckWords("sub.cc.u32 %r4, %r0, %r2;", "subc.u32 %r5, %r1, %r3;", [](uint64_t a, uint64_t b) { return a - b; });
}
OPCODE_TEST(madc) {
  CheckWords("mad.lo.cc.u32 %r4, %r0, %r2, %r2;", "madc.hi.u32 %r5, %r0, %r2, 0;",
             [](uint64_t a, uint64_t b) { return (a & 0xffffffff) * (b & 0xffffffff) + (b & 0xffffffff); });
}

}  // namespace
}  // namespace emulation
