#include "model/rope.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headroom::model {
namespace {

using ::testing::FloatNear;
using ::testing::Pointwise;

// Of an independent computation (tests/golden/llama3): theta 10000.0, heads of 48.
TEST(RopeTest, Llama3) {
  const std::vector<float> expected = {
      1.0f,          0.681292069f,    0.464158883f,    0.316227766f,    0.215443469f,    0.103548546f,
      0.0427511788f, 0.016224453f,    0.00580198604f,  0.00395284708f,  0.00269304336f,  0.00183474908f,
      0.00125f,      0.000851615086f, 0.000580198604f, 0.000395284708f, 0.000269304336f, 0.000183474908f,
      0.000125f,     8.51615086e-05f, 5.80198604e-05f, 3.95284708e-05f, 2.69304336e-05f, 1.83474908e-05f};
  const RopeScaling scaling{.type = RopeScaling::Type::kLlama3, .factor = 8, .original_positions = 128};
  EXPECT_THAT(RopeInverseFrequencies(10000.0, 48, scaling), Pointwise(FloatNear(5e-8f), expected));
}

// Short waves stay, long ones are stretched by the whole factor.
TEST(RopeTest, Llama3LeavesShortWaves) {
  const RopeScaling scaling{.type = RopeScaling::Type::kLlama3, .factor = 8, .original_positions = 8192};
  const auto plain = RopeInverseFrequencies(500000, 128, {});
  const auto scaled = RopeInverseFrequencies(500000, 128, scaling);
  EXPECT_EQ(plain.front(), scaled.front());
  EXPECT_EQ(plain.back() / 8, scaled.back());
  for (size_t i = 0; i < plain.size(); ++i) {
    EXPECT_LE(scaled[i], plain[i]);
    EXPECT_GE(scaled[i], plain[i] / 8);
  }
}

TEST(RopeTest, LinearDividesAll) {
  const auto plain = RopeInverseFrequencies(10000, 64, {});
  const auto scaled = RopeInverseFrequencies(10000, 64, {.type = RopeScaling::Type::kLinear, .factor = 4});
  for (size_t i = 0; i < plain.size(); ++i) EXPECT_EQ(scaled[i], plain[i] / 4);
}

}  // namespace
}  // namespace headroom::model
