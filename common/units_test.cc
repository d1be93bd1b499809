#include "common/units.h"

#include <gtest/gtest.h>

namespace headroom {
namespace {

TEST(ParseBytesTest, Units) {
  EXPECT_EQ(*ParseBytes("17"), 17);
  EXPECT_EQ(*ParseBytes("2 KiB"), 2048);
  EXPECT_EQ(*ParseBytes("8388607TiB"), 8388607LL << 40);
  for (const char* bad : {"", "KiB", "1.5GiB", "1GB", "9223372036854775808", "8388608TiB", "1 GiB ", "+1"}) {
    EXPECT_FALSE(ParseBytes(bad).ok()) << bad;
  }
}

TEST(FormatBytesTest, PicksTheUnit) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(int64_t{4} << 30), "4.00 GiB");
  EXPECT_EQ(FormatBytes(-2048), "-2.00 KiB");
}

TEST(InGibTest, CountsGib) {
  EXPECT_EQ(InGib(3 * kGiB / 2), 1.5);
  EXPECT_EQ(InGib(-kTiB), -1024);
}

TEST(GroupedDigitsTest, GroupsThrees) {
  EXPECT_EQ(GroupedDigits(0), "0");
  EXPECT_EQ(GroupedDigits(-999), "-999");
  EXPECT_EQ(GroupedDigits(1000), "1,000");
  EXPECT_EQ(GroupedDigits(-123456), "-123,456");
  EXPECT_EQ(GroupedDigits(1234567), "1,234,567");
}

}  // namespace
}  // namespace headroom
