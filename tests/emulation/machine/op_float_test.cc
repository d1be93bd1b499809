// f32, f64, f16 and bf16 against plain C++.
#include <cfenv>

#include "tests/emulation/machine/floats.h"
#include "tests/emulation/machine/lanewise.h"

namespace emulation {
namespace {

// What PTX allows an approximate opcode to be wrong by, relative; the machine is closer.
constexpr double kApproximate = 1e-6;

float Flush(float x) { return std::abs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0F, x) : x; }

template <class T>
void CheckBasics(const std::string& t) {
  Check<T, T, T>("add.rn." + t, [](T a, T b) { return a + b; });
  Check<T, T, T>("sub.rn." + t, [](T a, T b) { return a - b; });
  Check<T, T, T>("mul.rn." + t, [](T a, T b) { return a * b; });
  Check<T, T, T>("div.rn." + t, [](T a, T b) { return a / b; });
  Check<T, T, T, T>("fma.rn." + t, [](T a, T b, T c) { return std::fma(a, b, c); });
  Check<T, T, T>("min." + t,
                 [](T a, T b) { return std::fmin(a, b) == 0 && a == b ? (std::signbit(a) ? a : b) : std::fmin(a, b); });
  Check<T, T, T>("max." + t,
                 [](T a, T b) { return std::fmax(a, b) == 0 && a == b ? (std::signbit(a) ? b : a) : std::fmax(a, b); });
  Check<T, T>("neg." + t, [](T a) { return -a; });
  Check<T, T>("abs." + t, [](T a) { return std::fabs(a); });
  Check<T, T>("sqrt.rn." + t, [](T a) { return std::sqrt(a); });
  Check<T, T>("rcp.rn." + t, [](T a) { return 1 / a; });
}

OPCODE_TEST(fma) {
  CheckBasics<float>("f32");
  CheckBasics<double>("f64");
  Check<float, float, float, float>("fma.rn.sat.f32", [](float a, float b, float c) {
    const float x = std::fma(a, b, c);
    return x > 0 ? std::min(x, 1.0F) : 0.0F;
  });
  Check<float, float, float>("add.rn.ftz.f32", [](float a, float b) { return Flush(Flush(a) + Flush(b)); });
  Check<float, float, float>("mul.ftz.sat.f32", [](float a, float b) {
    const float x = Flush(Flush(a) * Flush(b));
    return x > 0 ? std::min(x, 1.0F) : 0.0F;
  });
  Check<float, float, float>("min.NaN.f32", [](float a, float b) {
    return std::isnan(a) || std::isnan(b) ? NAN : a == b ? (std::signbit(a) ? a : b) : std::min(a, b);
  });
}

// The exact sum of two floats is a long double; the rounding is then looked at from outside.
void CheckRounded(const std::string& mode, int rounding) {
  const auto with_mode = [=](auto f) {
    return [=](auto... x) {
      volatile double wide[] = {x...};
      std::fesetround(rounding);
      volatile const float y = f(wide);
      std::fesetround(FE_TONEAREST);
      return static_cast<float>(y);
    };
  };
  // Products of floats are exact in double, so that the conversion rounds once.
  Check<float, float, float>("mul." + mode + ".f32",
                             with_mode([](volatile double* x) { return static_cast<float>(x[0] * x[1]); }));
  Check<float, float>("sqrt." + mode + ".f32", with_mode([](volatile double* x) {
                        volatile const auto narrow = static_cast<float>(x[0]);
                        return std::sqrt(narrow);
                      }));
}

OPCODE_TEST(sqrt) {
  CheckRounded("rz", FE_TOWARDZERO);
  CheckRounded("rm", FE_DOWNWARD);
  CheckRounded("rp", FE_UPWARD);
  Check<float, float>(
      "sqrt.approx.ftz.f32", [](float a) { return Flush(std::sqrt(Flush(a))); }, "", kApproximate);
}

OPCODE_TEST(rcp) {
  Check<float, float>(
      "rcp.approx.ftz.f32", [](float a) { return Flush(1 / Flush(a)); }, "", kApproximate);
}
OPCODE_TEST(rsqrt) {
  Check<float, float>(
      "rsqrt.approx.f32", [](float a) { return static_cast<float>(1 / std::sqrt(static_cast<double>(a))); }, "",
      kApproximate);
}
OPCODE_TEST(sin) {
  Check<float, float>(
      "sin.approx.f32", [](float a) { return std::sin(a); }, "", kApproximate);
}
OPCODE_TEST(cos) {
  Check<float, float>(
      "cos.approx.f32", [](float a) { return std::cos(a); }, "", kApproximate);
}
OPCODE_TEST(lg2) {
  Check<float, float>(
      "lg2.approx.f32", [](float a) { return std::log2(a); }, "", kApproximate);
}
OPCODE_TEST(ex2) {
  Check<float, float>(
      "ex2.approx.f32", [](float a) { return std::exp2(a); }, "", kApproximate);
  Check<float, float>(
      "ex2.approx.ftz.f32", [](float a) { return Flush(std::exp2(Flush(a))); }, "", kApproximate);
}
OPCODE_TEST(tanh) {
  Check<float, float>(
      "tanh.approx.f32", [](float a) { return std::tanh(a); }, "", kApproximate);
}
OPCODE_TEST(copysign) {
  Check<float, float, float>("copysign.f32", [](float a, float b) { return std::copysign(b, a); });
}

// Halves as their bits; the reference rounds a double once, by search among the neighbours.
template <class H>
struct Format;
template <>
struct Format<F16> {
  static constexpr int kMantissa = 10, kLowest = -24;
  static constexpr double kLargest = 65504;
};
template <>
struct Format<Bf16> {
  static constexpr int kMantissa = 7, kLowest = -133;
  static constexpr double kLargest = 0x1.fep127;
};

template <class H>
uint16_t RoundOnce(double x) {
  if (std::isnan(x)) return 0x7fff;
  double quantum = Format<H>::kLowest;
  if (x != 0 && !std::isinf(x)) quantum = std::max<double>(std::ilogb(x) - Format<H>::kMantissa, Format<H>::kLowest);
  const double unit = std::ldexp(1.0, static_cast<int>(quantum));
  double y = std::isinf(x) ? x : std::nearbyint(x / unit) * unit;
  if (std::abs(y) > Format<H>::kLargest) y = std::copysign(INFINITY, x);
  if (std::is_same_v<H, F16>) {
    const uint16_t sign = std::signbit(y) ? 0x8000 : 0;
    if (std::isinf(y)) return sign | 0x7c00;
    if (std::abs(y) < 0x1p-14) return sign | static_cast<uint16_t>(std::abs(y) * 0x1p24);
    const int exponent = std::ilogb(y);
    return sign | static_cast<uint16_t>((exponent + 15) << 10 |
                                        static_cast<int>((std::abs(y) / std::ldexp(1.0, exponent) - 1) * 1024));
  }
  return static_cast<uint16_t>(std::bit_cast<uint32_t>(static_cast<float>(y)) >> 16);
}

template <class H>
double Wide(uint16_t bits) {
  if (std::is_same_v<H, Bf16>) return std::bit_cast<float>(uint32_t{bits} << 16);
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  const double sign = bits >> 15 ? -1 : 1;
  if (exponent == 31) return mantissa != 0 ? NAN : sign * INFINITY;
  return sign * (exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(mantissa + 1024, exponent - 25));
}

// Results that are not numbers are 0x7fff everywhere; neg and abs of one too.
template <class H>
void CheckHalves(const std::string& t) {
  const auto binary = [](auto f) {
    return [f](uint16_t a, uint16_t b) { return RoundOnce<H>(f(Wide<H>(a), Wide<H>(b))); };
  };
  Check<uint16_t, uint16_t, uint16_t>("add." + t, binary([](double a, double b) { return a + b; }));
  Check<uint16_t, uint16_t, uint16_t>("sub." + t, binary([](double a, double b) { return a - b; }));
  Check<uint16_t, uint16_t, uint16_t>("mul." + t, binary([](double a, double b) { return a * b; }));
  Check<uint16_t, uint16_t, uint16_t, uint16_t>("fma.rn." + t, [](uint16_t a, uint16_t b, uint16_t c) {
    // In long double, whose 64 bits hold a product and, unless the two are far apart, the sum.
    const long double sum = static_cast<long double>(Wide<H>(a)) * Wide<H>(b) + Wide<H>(c);
    return RoundOnce<H>(static_cast<double>(sum));
  });
  Check<uint16_t, uint16_t, uint16_t, uint16_t>("fma.rn.relu." + t, [](uint16_t a, uint16_t b, uint16_t c) {
    const double x = std::fma(Wide<H>(a), Wide<H>(b), Wide<H>(c));
    return RoundOnce<H>(x < 0 ? 0 : x);
  });
  Check<uint16_t, uint16_t, uint16_t>(
      "max." + t, binary([](double a, double b) { return a == b ? (std::signbit(a) ? b : a) : std::fmax(a, b); }));
  Check<uint16_t, uint16_t, uint16_t>(
      "min." + t, binary([](double a, double b) { return a == b ? (std::signbit(a) ? a : b) : std::fmin(a, b); }));
  Check<uint16_t, uint16_t>("neg." + t, [](uint16_t a) { return RoundOnce<H>(-Wide<H>(a)); });
  Check<uint16_t, uint16_t>("abs." + t, [](uint16_t a) { return RoundOnce<H>(std::abs(Wide<H>(a))); });
  // Pairs: each half by itself.
  Check<uint32_t, uint32_t, uint32_t>("mul." + t + "x2", [](uint32_t a, uint32_t b) {
    const auto one = [](uint16_t x, uint16_t y) { return RoundOnce<H>(Wide<H>(x) * Wide<H>(y)); };
    return uint32_t{one(a >> 16, b >> 16)} << 16 | one(static_cast<uint16_t>(a), static_cast<uint16_t>(b));
  });
}

TEST(Halves, F16) { CheckHalves<F16>("f16"); }
TEST(Halves, Bf16) { CheckHalves<Bf16>("bf16"); }

}  // namespace
}  // namespace emulation
