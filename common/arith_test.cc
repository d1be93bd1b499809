#include "common/arith.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

#include "common/bf16.h"
#include "common/range.h"

namespace headroom {
namespace {

TEST(ArithTest, RoundsUp) {
  static_assert(CeilDiv(0, 3) == 0 && CeilDiv(1, 3) == 1 && CeilDiv(3, 3) == 1 && CeilDiv(4, 3) == 2);
  static_assert(RoundUp(0, 64) == 0 && RoundUp(1, 64) == 64 && RoundUp(64, 64) == 64 && RoundUp(65, 64) == 128);
  static_assert(CeilDiv(INT64_MAX, 2) == (int64_t{1} << 62), "no overflow on the way");
  for (int64_t n = 0; n < 200; ++n) {
    for (int64_t unit = 1; unit < 20; ++unit) {
      EXPECT_GE(RoundUp(n, unit), n);
      EXPECT_LT(RoundUp(n, unit), n + unit);
      EXPECT_EQ(RoundUp(n, unit) % unit, 0);
    }
  }
}

TEST(Bf16Test, RoundsToTheNearestEven) {
  EXPECT_EQ(ToBf16(1.0f), 0x3f80);
  EXPECT_EQ(ToBf16(1.0f + std::exp2(-8.0f)), 0x3f80) << "half way, to the even one below";
  EXPECT_EQ(ToBf16(1.0f + 3 * std::exp2(-8.0f)), 0x3f82) << "half way, to the even one above";
  EXPECT_EQ(ToBf16(1.0f + std::exp2(-8.0f) + std::exp2(-20.0f)), 0x3f81);
  EXPECT_EQ(ToBf16(-0.0f), 0x8000);
  EXPECT_EQ(ToBf16(std::numeric_limits<float>::max()), 0x7f80) << "the next above is infinity";
  EXPECT_TRUE(std::isnan(FromBf16(ToBf16(std::numeric_limits<float>::quiet_NaN()))));
  EXPECT_TRUE(std::isnan(FromBf16(ToBf16(std::bit_cast<float>(0x7f800001u))))) << "low bits alone say so";
}

TEST(Bf16Test, KeepsWhatIsBf16) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = FromBf16(static_cast<uint16_t>(bits));
    if (std::isnan(value)) continue;
    EXPECT_EQ(ToBf16(value), bits);
  }
}

TEST(CheckRangeTest, NamesValueAndBounds) {
  EXPECT_TRUE(CheckRange("max_num_seqs", 1, 1, 8).ok());
  EXPECT_TRUE(CheckRange("max_num_seqs", 8, 1, 8).ok());
  EXPECT_EQ(CheckRange("max_num_seqs", 9, 1, 8), absl::InvalidArgumentError("max_num_seqs: 9 is not between 1 and 8"));
  EXPECT_EQ(CheckRange("offset", -1, 0, INT64_MAX).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(CheckRange("max_num_seqs", std::optional<int64_t>(), 1, 8).ok());
  EXPECT_FALSE(CheckRange("max_num_seqs", std::optional<int64_t>(0), 1, 8).ok());
}

}  // namespace
}  // namespace headroom
