#include "llm-worker/token_stream.h"

#include <gtest/gtest.h>

#include "common/testing/fake_clock.h"

namespace headroom::llm_worker {
namespace {

TEST(TokenStream, KnowsSinceWhenNobodyReads) {
  FakeClock clock;
  TokenStream stream(clock, [] {});
  EXPECT_FALSE(stream.UnreadSince().has_value());
  stream.Push({});
  const TimePoint first = clock.Now();
  clock.Advance(std::chrono::seconds(5));
  stream.Push({});
  EXPECT_EQ(stream.UnreadSince(), first);
  EXPECT_TRUE(stream.Take().has_value());
  EXPECT_EQ(stream.UnreadSince(), clock.Now());
  EXPECT_TRUE(stream.Take().has_value());
  EXPECT_FALSE(stream.UnreadSince().has_value());
  EXPECT_FALSE(stream.Take().has_value());
}

}  // namespace
}  // namespace headroom::llm_worker
