// Comparison, selection, movement and conversion against plain C++.
#include "tests/emulation/machine/floats.h"
#include "tests/emulation/machine/lanewise.h"

namespace emulation {
namespace {

// "PREFIX %q1, a, b" as an opcode with a result of 32 bits.
template <class T>
void CheckSetp(const std::string& comparison, const std::string& type, bool (*reference)(T, T)) {
  // The check runs one statement: a scope with several, whose last one takes the operands.
  SCOPED_TRACE(comparison + "." + type);
  std::mt19937 random(3);
  const std::vector<T> a = Values<T>(random), b = Values<T>(random);
  TestDevice device;
  const std::string bits = BitsName<T>(), size = std::to_string(sizeof(T));
  device.Load(KernelText(
      3, ".reg ." + bits + " %a, %b;\nmov.u32 %r0, %ctaid.x;\nmad.lo.u32 %r1, %r0, 256, %t;\nmul.wide.u32 %d0, %r1, " +
             size +
             ";\nadd.u64 %d1, %d0, %p0;\nadd.u64 %d2, %d0, %p1;\n"
             "ld.global." +
             bits + " %a, [%d1];\nld.global." + bits + " %b, [%d2];\nsetp." + comparison + "." + type +
             " %q0|%q1, %a, %b;\n"
             "selp.u32 %r2, 1, 0, %q0;\nselp.u32 %r3, 2, 0, !%q1;\nadd.u32 %r2, %r2, %r3;\nmul.wide.u32 %d3, %r1, "
             "4;\nadd.u64 %d3, %d3, %p2;\nst.global.u32 [%d3], %r2;\n"));
  const uint64_t out = device.Allocate(kValues * 4);
  device.Run("K", {kValues / 256}, {256}, {device.Upload(a), device.Upload(b), out});
  const std::vector<uint32_t> results = device.Download<uint32_t>(out, kValues);
  for (int k = 0; k < kValues; k++) ASSERT_EQ(results[k], reference(a[k], b[k]) ? 3u : 0u) << a[k] << " " << b[k];
}

template <class T>
void CheckOrders(const std::string& type) {
  CheckSetp<T>("eq", type, [](T a, T b) { return a == b; });
  CheckSetp<T>("ne", type, [](T a, T b) { return a < b || a > b; });
  CheckSetp<T>("lt", type, [](T a, T b) { return a < b; });
  CheckSetp<T>("le", type, [](T a, T b) { return a <= b; });
  CheckSetp<T>("gt", type, [](T a, T b) { return a > b; });
  CheckSetp<T>("ge", type, [](T a, T b) { return a >= b; });
}

OPCODE_TEST(setp) {
  CheckOrders<int16_t>("s16");
  CheckOrders<uint32_t>("u32");
  CheckOrders<int32_t>("s32");
  CheckOrders<uint64_t>("u64");
  CheckOrders<int64_t>("s64");
  CheckOrders<float>("f32");
  CheckOrders<double>("f64");
  CheckSetp<float>("equ", "f32", [](float a, float b) { return std::isunordered(a, b) || a == b; });
  CheckSetp<float>("neu", "f32", [](float a, float b) { return std::isunordered(a, b) || a != b; });
  CheckSetp<float>("ltu", "f32", [](float a, float b) { return std::isunordered(a, b) || a < b; });
  CheckSetp<float>("leu", "f32", [](float a, float b) { return std::isunordered(a, b) || a <= b; });
  CheckSetp<float>("gtu", "f32", [](float a, float b) { return std::isunordered(a, b) || a > b; });
  CheckSetp<float>("geu", "f32", [](float a, float b) { return std::isunordered(a, b) || a >= b; });
  CheckSetp<float>("num", "f32", [](float a, float b) { return !std::isunordered(a, b); });
  CheckSetp<float>("nan", "f32", [](float a, float b) { return std::isunordered(a, b); });
  CheckSetp<uint32_t>("lo", "u32", [](uint32_t a, uint32_t b) { return a < b; });
  CheckSetp<uint16_t>("lt", "f16", [](uint16_t a, uint16_t b) { return ToFloat(F16{a}) < ToFloat(F16{b}); });
  CheckSetp<uint16_t>("ge", "bf16", [](uint16_t a, uint16_t b) { return ToFloat(Bf16{a}) >= ToFloat(Bf16{b}); });
}

OPCODE_TEST(set) {
  Check<uint32_t, float, float>("set.lt.u32.f32", [](float a, float b) { return a < b ? ~0u : 0u; });
  Check<float, int32_t, int32_t>("set.ge.f32.s32", [](int32_t a, int32_t b) { return a >= b ? 1.0F : 0.0F; });
  Check<uint32_t, uint32_t, uint32_t>("set.gt.bf16x2.bf16x2", [](uint32_t a, uint32_t b) {
    const auto one = [](uint32_t x, uint32_t y) {
      return ToFloat(Bf16{static_cast<uint16_t>(x)}) > ToFloat(Bf16{static_cast<uint16_t>(y)}) ? 0x3f80u : 0u;
    };
    return one(a >> 16, b >> 16) << 16 | one(a & 0xffff, b & 0xffff);
  });
}

OPCODE_TEST(selp) {
  CheckSetp<uint32_t>("eq", "b32", [](uint32_t a, uint32_t b) { return a == b; });
}

OPCODE_TEST(slct) {
  Check<uint32_t, uint32_t, uint32_t, int32_t>("slct.u32.s32",
                                               [](uint32_t a, uint32_t b, int32_t c) { return c >= 0 ? a : b; });
  Check<uint64_t, uint64_t, uint64_t, float>("slct.u64.f32",
                                             [](uint64_t a, uint64_t b, float c) { return c >= 0 ? a : b; });
}

OPCODE_TEST(testp) {
  TestDevice device;
  const std::vector<float> values = {0, 1, -INFINITY, NAN, 1e-40F};
  std::string body =
      "mul.wide.u32 %d0, %t, 4;\nadd.u64 %d1, %d0, %p0;\nadd.u64 %d2, %d0, %p1;\nld.global.f32 %f0, [%d1];\nmov.u32 "
      "%r0, 0;\n";
  int bit = 1;
  for (const char* kind : {"finite", "infinite", "number", "notanumber", "normal", "subnormal"}) {
    body += std::string("testp.") + kind + ".f32 %q0, %f0;\n@%q0 add.u32 %r0, %r0, " + std::to_string(bit) + ";\n";
    bit *= 2;
  }
  device.Load(KernelText(2, body + "st.global.u32 [%d2], %r0;\n"));
  const uint64_t out = device.Allocate(20);
  device.Run("K", {1}, {5}, {device.Upload(values), out});
  EXPECT_EQ(device.Download<uint32_t>(out, 5), (std::vector<uint32_t>{1 + 4, 1 + 4 + 16, 2 + 4, 8, 1 + 4 + 32}));
}

OPCODE_TEST(mov) {
  Check<uint32_t, uint32_t>("mov.b32", [](uint32_t a) { return a; });
  // A number as four registers and back, in another order.
  Check<uint64_t, uint64_t>(
      "{ .reg .b32 %x, %y; .reg .b16 %a, %b; mov.b64 {%x, %y}, %in0; mov.b32 {%a, %b}, %x; mov.b32 %x, {%b, %a}; "
      "mov.b64 %in0, {%y, %x}; }\nmov.b64",
      [](uint64_t a) { return a >> 32 | (a << 48) | (a << 16 & 0xffff00000000); });
}

OPCODE_TEST(cvt) {
  Check<int32_t, int64_t>("cvt.s32.s64", [](int64_t a) { return static_cast<int32_t>(a); });
  Check<int64_t, int32_t>("cvt.s64.s32", [](int32_t a) { return a; });
  Check<uint64_t, uint32_t>("cvt.u64.u32", [](uint32_t a) { return a; });
  Check<uint32_t, uint16_t>("cvt.u32.u16", [](uint16_t a) { return a; });
  Check<int32_t, uint32_t>("cvt.s32.s8", [](uint32_t a) { return static_cast<int8_t>(a); });
  Check<uint32_t, uint32_t>("cvt.u16.u32", [](uint32_t a) { return a & 0xffff; });
  Check<int16_t, int32_t>("cvt.sat.s16.s32", [](int32_t a) { return std::clamp(a, -32768, 32767); });
  Check<uint32_t, int32_t>("cvt.sat.u8.s32", [](int32_t a) { return std::clamp(a, 0, 255); });
  Check<float, int32_t>("cvt.rn.f32.s32", [](int32_t a) { return static_cast<float>(a); });
  Check<double, uint64_t>("cvt.rn.f64.u64", [](uint64_t a) { return static_cast<double>(a); });
  const auto toward_zero = [](uint32_t a) {
    float f = static_cast<float>(a);
    return static_cast<double>(f) > a ? std::nextafter(f, 0.0F) : f;
  };
  Check<float, uint32_t>("cvt.rz.f32.u32", toward_zero);
  const auto clamp = [](double x) {
    return std::isnan(x) ? 0 : x <= INT32_MIN ? INT32_MIN : x >= INT32_MAX ? INT32_MAX : static_cast<int32_t>(x);
  };
  Check<int32_t, float>("cvt.rni.s32.f32", [=](float a) { return clamp(std::nearbyint(a)); });
  Check<int32_t, float>("cvt.rzi.s32.f32", [=](float a) { return clamp(std::trunc(a)); });
  Check<int32_t, float>("cvt.rmi.s32.f32", [=](float a) { return clamp(std::floor(a)); });
  Check<int32_t, double>("cvt.rpi.s32.f64", [=](double a) { return clamp(std::ceil(a)); });
  Check<float, float>("cvt.rni.f32.f32", [](float a) { return std::nearbyint(a); });
  Check<float, float>("cvt.sat.f32.f32", [](float a) { return a > 0 ? std::min(a, 1.0F) : 0.0F; });
  Check<double, float>("cvt.f64.f32", [](float a) { return a; });
  Check<float, double>("cvt.rn.f32.f64", [](double a) { return static_cast<float>(a); });
  Check<float, float>("cvt.rna.tf32.f32", [](float a) {
    if (!std::isfinite(a)) return a;
    const uint32_t bits = std::bit_cast<uint32_t>(a);
    return std::bit_cast<float>((bits & 0x1fff) >= 0x1000 ? (bits | 0x1fff) + 1 : bits & ~0x1fffu);
  });
}

// The nearest of all 256 values of the type, ties to the even code; beyond the largest, the largest.
uint8_t Nearest(float (*decode)(uint8_t), uint8_t largest, float x) {
  if (std::isnan(x)) return 0x7f;
  const float magnitude = std::abs(x);
  if (magnitude >= decode(largest)) return static_cast<uint8_t>(largest | (std::signbit(x) ? 0x80 : 0));
  int best = 0;
  for (int code = 0; code <= largest; code++) {
    const double now = std::abs(static_cast<double>(magnitude) - decode(static_cast<uint8_t>(code)));
    const double then = std::abs(static_cast<double>(magnitude) - decode(static_cast<uint8_t>(best)));
    if (now < then || (now == then && code % 2 == 0)) best = code;
  }
  return static_cast<uint8_t>(best | (std::signbit(x) ? 0x80 : 0));
}

float DecodeE4m3(uint8_t code) {
  const int exponent = code >> 3 & 15, mantissa = code & 7;
  return exponent == 0 ? mantissa * 0x1p-9F : std::ldexp(1 + mantissa / 8.0F, exponent - 7);
}
float DecodeE5m2(uint8_t code) {
  const int exponent = code >> 2 & 31, mantissa = code & 3;
  return exponent == 0 ? mantissa * 0x1p-16F : std::ldexp(1 + mantissa / 4.0F, exponent - 15);
}

TEST(SmallConversions, AgainstSearch) {
  Check<uint16_t, float, float>("cvt.rn.satfinite.e4m3x2.f32", [](float a, float b) {
    return Nearest(DecodeE4m3, 0x7e, a) << 8 | Nearest(DecodeE4m3, 0x7e, b);
  });
  Check<uint16_t, float, float>("cvt.rn.satfinite.e5m2x2.f32", [](float a, float b) {
    return Nearest(DecodeE5m2, 0x7b, a) << 8 | Nearest(DecodeE5m2, 0x7b, b);
  });
  Check<uint32_t, float, float>("cvt.rn.bf16x2.f32", [](float a, float b) {
    const auto one = [](float x) -> uint32_t {
      const uint32_t bits = std::bit_cast<uint32_t>(x), low = bits & 0xffff;
      if (std::isnan(x)) return 0x7fff;
      return (bits >> 16) + (low > 0x8000 || (low == 0x8000 && (bits >> 16 & 1)) ? 1 : 0);
    };
    return one(a) << 16 | one(b);
  });
  Check<float, uint16_t>("cvt.f32.bf16", [](uint16_t a) { return std::bit_cast<float>(uint32_t{a} << 16); });
  Check<uint16_t, float>("cvt.rz.bf16.f32",
                         [](float a) { return std::isnan(a) ? 0x7fff : std::bit_cast<uint32_t>(a) >> 16; });
  Check<uint32_t, uint16_t>("cvt.rn.f16x2.e5m2x2", [](uint16_t a) {
    // e5m2 is the upper byte of an f16.
    const auto one = [](uint32_t x) { return (x & 0x7f) > 0x7c ? 0x7fffu : x << 8; };
    return one(a >> 8) << 16 | one(a & 0xff);
  });
}

OPCODE_TEST(cvta) {
  TestDevice device;
  // A shared variable through a generic pointer: the same bytes, and the pointer says where it points.
  device.Load(KernelText(1,
                         ".shared .align 4 .b8 s[8];\nmov.u64 %d0, s;\ncvta.shared.u64 %d1, %d0;\nst.shared.u32 [s+4], "
                         "77;\nld.u32 %r0, [%d1+4];\ncvta.to.shared.u64 %d2, %d1;\n"
                         "sub.u64 %d3, %d2, %d0;\nisspacep.shared %q0, %d1;\nisspacep.global %q1, %d1;\nselp.u32 %r1, "
                         "1, 0, %q0;\nselp.u32 %r2, 2, 0, %q1;\n"
                         "cvt.u32.u64 %r3, %d3;\nst.global.v4.u32 [%p0], {%r0, %r1, %r2, %r3};\n"));
  const uint64_t out = device.Allocate(16);
  device.Run("K", {1}, {1}, {out});
  EXPECT_EQ(device.Download<uint32_t>(out, 4), (std::vector<uint32_t>{77, 1, 0, 0}));
}

OPCODE_TEST(isspacep) {
  TestDevice device;
  device.Load(KernelText(1,
                         "isspacep.global %q0, %p0;\nisspacep.local %q1, %p0;\nselp.u32 %r0, 1, 0, %q0;\nselp.u32 %r1, "
                         "1, 0, %q1;\nst.global.v2.u32 [%p0], {%r0, %r1};\n"));
  const uint64_t out = device.Allocate(8);
  device.Run("K", {1}, {1}, {out});
  EXPECT_EQ(device.Download<uint32_t>(out, 2), (std::vector<uint32_t>{1, 0}));
}

}  // namespace
}  // namespace emulation
