// Every element type and reduction of the emulated NCCL against plain C++.
#include "tests/emulation/nccl/reduce.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "tests/emulation/machine/floats.h"

namespace emulation {
namespace {

constexpr ncclRedOp_t kOps[] = {ncclSum, ncclProd, ncclMax, ncclMin, ncclAvg};

double Combined(ncclRedOp_t op, const std::vector<double>& values) {
  double x = values[0];
  for (size_t rank = 1; rank < values.size(); rank++) {
    const double y = values[rank];
    x = op == ncclProd ? x * y : op == ncclMax ? std::max(x, y) : op == ncclMin ? std::min(x, y) : x + y;
  }
  return op == ncclAvg ? x / static_cast<double>(values.size()) : x;
}

// `decode` and `encode` go between T and double; values are small integers, so that all sums and products are exact.
template <class T>
void ExpectAllOps(ncclDataType_t type, const std::function<T(double)>& encode, const std::function<double(T)>& decode) {
  const std::vector<std::vector<double>> ranks = {{1, 2, 0, 4}, {3, 2, 5, 2}, {2, 2, 1, 3}};
  std::vector<std::string> inputs;
  std::vector<const char*> pointers;
  for (const std::vector<double>& values : ranks) {
    std::vector<T> encoded;
    for (const double x : values) encoded.push_back(encode(x));
    inputs.emplace_back(reinterpret_cast<const char*>(encoded.data()), encoded.size() * sizeof(T));
  }
  for (const std::string& input : inputs) pointers.push_back(input.data());
  for (const ncclRedOp_t op : kOps) {
    const std::string output = Reduce(pointers, ranks[0].size(), type, op);
    ASSERT_EQ(output.size(), ranks[0].size() * sizeof(T));
    for (size_t i = 0; i < ranks[0].size(); i++) {
      T got;
      memcpy(&got, output.data() + i * sizeof(T), sizeof got);
      double wanted = Combined(op, {ranks[0][i], ranks[1][i], ranks[2][i]});
      if constexpr (std::is_integral_v<T>) wanted = std::trunc(wanted);
      // An average is no exact number: one rounding of the type is allowed.
      EXPECT_NEAR(decode(got), decode(encode(wanted)), op == ncclAvg ? 1e-6 : 0)
          << NameOfType(type) << " " << NameOfOp(op) << " " << i;
    }
  }
}

template <class T>
void ExpectPlain(ncclDataType_t type) {
  EXPECT_EQ(BytesOf(type), sizeof(T));
  ExpectAllOps<T>(
      type, [](double x) { return static_cast<T>(x); }, [](T x) { return static_cast<double>(x); });
}

TEST(Reduce, EveryTypeAndOperation) {
  ExpectPlain<int8_t>(ncclInt8);
  ExpectPlain<uint8_t>(ncclUint8);
  ExpectPlain<int32_t>(ncclInt32);
  ExpectPlain<uint32_t>(ncclUint32);
  ExpectPlain<int64_t>(ncclInt64);
  ExpectPlain<uint64_t>(ncclUint64);
  ExpectPlain<float>(ncclFloat32);
  ExpectPlain<double>(ncclFloat64);
  ExpectAllOps<uint16_t>(
      ncclBfloat16, [](double x) { return FromFloat<Bf16>(static_cast<float>(x)).bits; },
      [](uint16_t x) { return ToFloat(Bf16{x}); });
  ExpectAllOps<uint16_t>(
      ncclFloat16, [](double x) { return FromFloat<F16>(static_cast<float>(x)).bits; },
      [](uint16_t x) { return ToFloat(F16{x}); });
  ExpectAllOps<uint8_t>(
      ncclFloat8e4m3, [](double x) { return E4m3::Encode(static_cast<float>(x)); },
      [](uint8_t x) { return E4m3::Decode(x); });
  ExpectAllOps<uint8_t>(
      ncclFloat8e5m2, [](double x) { return E5m2::Encode(static_cast<float>(x)); },
      [](uint8_t x) { return E5m2::Decode(x); });
  EXPECT_EQ(BytesOf(ncclNumTypes), 0);
}

TEST(Reduce, BFloat16IsAddedInF32AndRoundedOnce) {
  // 256 + 1 + 1: 257 is no bf16, so that rounding after each step would lose both ones.
  const uint16_t a = FromFloat<Bf16>(256).bits, b = FromFloat<Bf16>(1).bits;
  const char *x = reinterpret_cast<const char*>(&a), *y = reinterpret_cast<const char*>(&b);
  const std::string sum = Reduce({x, y, y}, 1, ncclBfloat16, ncclSum);
  uint16_t bits = 0;
  memcpy(&bits, sum.data(), 2);
  EXPECT_EQ(ToFloat(Bf16{bits}), 258.0F);
}

TEST(Reduce, OneNanGivesTheOtherOperandAndMinusZeroIsTheSmaller) {
  const float nan = NAN, one = 1, zero = 0, minus_zero = -0.0F;
  const auto reduce = [](const float& a, const float& b, ncclRedOp_t op) {
    float result = 0;
    memcpy(&result,
           Reduce({reinterpret_cast<const char*>(&a), reinterpret_cast<const char*>(&b)}, 1, ncclFloat, op).data(),
           sizeof result);
    return result;
  };
  for (const ncclRedOp_t op : {ncclMax, ncclMin}) {
    EXPECT_EQ(reduce(nan, one, op), 1);
    EXPECT_EQ(reduce(one, nan, op), 1);
    EXPECT_EQ(std::signbit(reduce(zero, minus_zero, op)), op == ncclMin);
    EXPECT_EQ(std::signbit(reduce(minus_zero, zero, op)), op == ncclMin);
  }
}

TEST(Reduce, IntegersWrap) {
  const int8_t a = 100, b = 100;
  const std::string sum =
      Reduce({reinterpret_cast<const char*>(&a), reinterpret_cast<const char*>(&b)}, 1, ncclInt8, ncclSum);
  EXPECT_EQ(static_cast<int8_t>(sum[0]), static_cast<int8_t>(-56));
}

}  // namespace
}  // namespace emulation
