#include "cli/moment.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>

namespace headroom::cli {
namespace {

using std::chrono::milliseconds;

constexpr int64_t kMinute = 60'000;
constexpr int64_t kHour = 60 * kMinute;

// Local time is that of a fixed zone, east of Greenwich by an hour and a half.
class MomentTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const char* zone = getenv("TZ")) before_ = zone;
    setenv("TZ", "XXX-1:30", 1);
    tzset();
  }
  void TearDown() override {
    before_.empty() ? unsetenv("TZ") : setenv("TZ", before_.c_str(), 1);
    tzset();
  }
  // 2026-11-22T12:04:30Z, which is 13:34:30 here.
  const WallTime now_ = std::chrono::system_clock::from_time_t(1'795'349'070);
  std::string before_;
};

TEST_F(MomentTest, AgesOfMoments) {
  const struct {
    const char* text;
    int64_t age_ms;
  } rows[] = {
      {"now", 0},
      {"-5m", 5 * kMinute},
      {"-1h30m10s", kHour + 30 * kMinute + 10'000},
      {"-250ms", 250},
      {"13:34:30", 0},
      {"13:34", 30'000},
      {"12:04", kHour + 30 * kMinute + 30'000},
      {"13:34:31", 24 * kHour - 1'000},  // has not come yet today
      {"13:35", 24 * kHour - 30'000},
      {"00:00", 13 * kHour + 34 * kMinute + 30'000},
      {"2026-11-22T12:04:30Z", 0},
      {"2026-11-22T12:04:00Z", 30'000},
      {"2026-11-22T13:04:30+01:00", 0},
      {"2026-11-22T10:04:30.25-02:00", -1},  // 250 ms ahead of now
      {"2026-11-22T10:04:29.25-02:00", 750},
      {"2026-11-22T13:34:00", 30'000},
      {"2026-11-22 13:34", 30'000},
      {"2026-11-21T12:04:30Z", 24 * kHour},
  };
  for (const auto& row : rows) {
    const auto age = ParseAgeMs(row.text, now_);
    if (row.age_ms < 0) {
      EXPECT_FALSE(age.ok()) << row.text;
      continue;
    }
    ASSERT_TRUE(age.ok()) << row.text << ": " << age.status();
    EXPECT_EQ(*age, row.age_ms) << row.text;
  }
}

TEST_F(MomentTest, WhatIsNoMoment) {
  for (const char* text : {"",
                           "-",
                           "-5",
                           "-5x",
                           "-m",
                           "-25h",
                           "-99999999999s",
                           "5m",
                           "noon",
                           "12",
                           "12:",
                           "12:4",
                           "12:60",
                           "24:00",
                           "12:04:",
                           "12:04:61",
                           "12:04x",
                           "12:04:30.",
                           "2026-11-22",
                           "2026-11-22T",
                           "2026-13-22T12:04:30Z",
                           "2026-11-22T12:04:30z",
                           "2026-11-22T12:04:30+1:00",
                           "2026-11-22T12:04:30+01:00x",
                           "2026-11-23T12:04:30Z",
                           "2026-11-20T12:04:30Z"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseAgeMs(text, now_).status())) << text;
  }
}

TEST_F(MomentTest, Texts) {
  EXPECT_EQ(ClockText(now_, now_), "13:34:30");
  EXPECT_EQ(ClockText(now_ - milliseconds(14 * kHour), now_), "2026-11-21 23:34:30");
  EXPECT_EQ(SpanText(0), "0.0 s");
  EXPECT_EQ(SpanText(9'990), "9.9 s");
  EXPECT_EQ(SpanText(59'999), "59 s");
  EXPECT_EQ(SpanText(5 * kMinute + 2'000), "5 m 2 s");
  EXPECT_EQ(SpanText(kHour + 3 * kMinute), "1 h 3 m");
}

}  // namespace
}  // namespace headroom::cli
