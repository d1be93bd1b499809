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
  EXPECT_THAT(RopeInverseFrequencies({.theta = 10000, .scaling = scaling}, 48, 1024),
              Pointwise(FloatNear(5e-8f), expected));
}

// Short waves stay, long ones are stretched by the whole factor.
TEST(RopeTest, Llama3LeavesShortWaves) {
  const RopeScaling scaling{.type = RopeScaling::Type::kLlama3, .factor = 8, .original_positions = 8192};
  const auto plain = RopeInverseFrequencies({.theta = 500000}, 128, 131072);
  const auto scaled = RopeInverseFrequencies({.theta = 500000, .scaling = scaling}, 128, 131072);
  EXPECT_EQ(plain.front(), scaled.front());
  EXPECT_EQ(plain.back() / 8, scaled.back());
  for (size_t i = 0; i < plain.size(); ++i) {
    EXPECT_LE(scaled[i], plain[i]);
    EXPECT_GE(scaled[i], plain[i] / 8);
  }
}

TEST(RopeTest, LinearDividesAll) {
  const auto plain = RopeInverseFrequencies({}, 64, 2048);
  const auto scaled = RopeInverseFrequencies({.scaling = {.type = RopeScaling::Type::kLinear, .factor = 4}}, 64, 2048);
  for (size_t i = 0; i < plain.size(); ++i) EXPECT_EQ(scaled[i], plain[i] / 4);
}

// Figures of transformers 5.0, run with numpy in place of torch; heads of 32.
struct Published {
  const char* what;
  Rope rope;
  int64_t positions;
  std::vector<float> rates;
};

std::vector<Published> PublishedRates() {
  using Type = RopeScaling::Type;
  std::vector<double> short_factors, long_factors;
  for (int i = 0; i < 16; ++i) {
    short_factors.push_back(1 + 0.05 * i);
    long_factors.push_back(1 + 0.8 * i * i);
  }
  const RopeScaling longrope{.type = Type::kLongRope,
                             .factor = 32,
                             .original_positions = 4096,
                             .short_factors = short_factors,
                             .long_factors = long_factors};
  return {{"yarn as in Qwen2.5",
           {1e6, {.type = Type::kYarn, .factor = 4, .original_positions = 32768}},
           131072,
           {1.0f, 0.421696514f, 0.177827939f, 0.0749894157f, 0.0316227786f, 0.0133352149f, 0.00477990136f,
            0.00165996165f, 0.000549999997f, 0.000168678613f, 4.44569851e-05f, 1.87473561e-05f, 7.90569356e-06f,
            3.33380399e-06f, 1.40585337e-06f, 5.92843435e-07f}},
          {"yarn as in DeepSeek-V3",
           {1e4, {.type = Type::kYarn, .factor = 40, .original_positions = 4096}},
           163840,
           {1.0f, 0.562341332f, 0.316227764f, 0.177827939f, 0.100000001f, 0.0562341288f, 0.0272181761f, 0.0128290169f,
            0.00582142826f, 0.00249036867f, 0.000959977158f, 0.000292145909f, 2.49999994e-05f, 1.40585325e-05f,
            7.90569447e-06f, 4.44569832e-06f}},
          {"yarn whose bounds fall between pairs",
           {150000, {.type = Type::kYarn, .factor = 32, .original_positions = 4096, .truncate = false}},
           131072,
           {1.0f, 0.47478205f, 0.225418001f, 0.107024424f, 0.05081328f, 0.0193350017f, 0.00679495931f, 0.00209379266f,
            0.000456483918f, 3.83088118e-05f, 1.8188337e-05f, 8.63549576e-06f, 4.09997847e-06f, 1.94659629e-06f,
            9.24208962e-07f, 4.38797855e-07f}},
          {"longrope within its first context",
           {1e4, longrope},
           4096,
           {1.0f, 0.535563171f, 0.287479758f, 0.154633f, 0.0833333358f, 0.044987306f, 0.0243252143f, 0.0131724393f,
            0.00714285718f, 0.00387821579f, 0.00210818532f, 0.00114727707f, 0.000624999986f, 0.000340812927f,
            0.000186016332f, 0.000101615973f}},
          {"longrope beyond it",
           {1e4, longrope},
           4097,
           {1.0f, 0.312411845f, 0.0752923265f, 0.0216863342f, 0.00724637695f, 0.00267781573f, 0.0010611671f,
            0.000442358025f, 0.000191570885f, 8.54622049e-05f, 3.90404675e-05f, 1.81828163e-05f, 8.60585169e-06f,
            4.12879081e-06f, 2.00397835e-06f, 9.8247483e-07f}}};
}

TEST(RopeTest, RatesArePublished) {
  for (const Published& published : PublishedRates()) {
    SCOPED_TRACE(published.what);
    const std::vector<float> rates = RopeInverseFrequencies(published.rope, 32, published.positions);
    ASSERT_EQ(rates.size(), published.rates.size());
    for (size_t i = 0; i < rates.size(); ++i) EXPECT_NEAR(rates[i] / published.rates[i], 1, 1e-6) << "pair " << i;
  }
}

}  // namespace
}  // namespace headroom::model
