#include "llm-worker/logit_changes.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "common/testing/seeded_random.h"

namespace headroom::llm_worker {
namespace {

constexpr float kOut = -std::numeric_limits<float>::infinity();

std::map<int32_t, float> AsMap(const LogitChanges& changes) {
  std::map<int32_t, float> deltas;
  for (const auto& [id, delta] : changes.list()) {
    EXPECT_TRUE(deltas.emplace(id, delta).second) << "id " << id << " stands twice";
  }
  return deltas;
}

TEST(LogitChangesTest, NoRulesNoChanges) {
  LogitChanges changes({}, std::vector<int32_t>{3}, 10);
  changes.Add(5);
  EXPECT_TRUE(changes.list().empty());
}

TEST(LogitChangesTest, PenaltiesCountTheAnswer) {
  LogitChanges changes({.presence_penalty = 0.5f, .frequency_penalty = 0.25f, .bias = {{7, 2.0f}}}, {}, 10);
  EXPECT_EQ(AsMap(changes), (std::map<int32_t, float>{{7, 2.0f}}));
  changes.Add(9);
  changes.Add(7);
  changes.Add(9);
  EXPECT_EQ(AsMap(changes), (std::map<int32_t, float>{{7, 1.25f}, {9, -1.0f}}));
}

TEST(LogitChangesTest, StopIdsAreOutUntilThereAreEnoughTokens) {
  LogitChanges changes({.bias = {{4, 3.0f}}, .min_tokens = 2}, std::vector<int32_t>{4, 8}, 10);
  EXPECT_EQ(AsMap(changes), (std::map<int32_t, float>{{4, kOut}, {8, kOut}}));
  changes.Add(1);
  EXPECT_EQ(AsMap(changes), (std::map<int32_t, float>{{4, kOut}, {8, kOut}}));
  changes.Add(1);
  EXPECT_EQ(AsMap(changes), (std::map<int32_t, float>{{4, 3.0f}, {8, 0.0f}}));
}

// As when a choice moves: what the answer was so far decides, not when it was told.
TEST(LogitChangesTest, TheSameAnswerGivesTheSameBits) {
  SeededRandom random(TestSeed());
  const LogitRules rules = {
      .presence_penalty = 0.3f, .frequency_penalty = -0.1f, .bias = {{1, 0.7f}}, .min_tokens = 50};
  const std::vector<int32_t> stops = {2, 30};
  LogitChanges once(rules, stops, 200);
  std::vector<int32_t> ids;
  for (int i = 0; i < 200; ++i) {
    ids.push_back(static_cast<int32_t>(random.Next() % 40));
    once.Add(ids.back());
    LogitChanges again(rules, stops, 200);
    for (const int32_t id : ids) again.Add(id);
    ASSERT_EQ(AsMap(once), AsMap(again));
  }
}

TEST(LogitChangesTest, RefusesWhatIsOutOfRange) {
  const auto refused = [](const LogitRules& rules) {
    return CheckLogitRules(rules, 100).code() == absl::StatusCode::kInvalidArgument;
  };
  EXPECT_TRUE(CheckLogitRules({.presence_penalty = -2, .frequency_penalty = 2, .bias = {{99, -100.0f}}}, 100).ok());
  EXPECT_TRUE(refused({.presence_penalty = 2.1f}));
  EXPECT_TRUE(refused({.frequency_penalty = -2.1f}));
  EXPECT_TRUE(refused({.frequency_penalty = std::nanf("")}));
  EXPECT_TRUE(refused({.bias = {{100, 1.0f}}}));
  EXPECT_TRUE(refused({.bias = {{-1, 1.0f}}}));
  EXPECT_TRUE(refused({.bias = {{1, 100.5f}}}));
  EXPECT_TRUE(refused({.bias = {{1, 1.0f}, {1, 2.0f}}}));
  LogitRules many;
  for (int32_t id = 0; id < 1025; ++id) many.bias.emplace_back(id, 0.0f);
  EXPECT_EQ(CheckLogitRules(many, 2000).code(), absl::StatusCode::kInvalidArgument);
  many.bias.pop_back();
  EXPECT_TRUE(CheckLogitRules(many, 2000).ok());
}

}  // namespace
}  // namespace headroom::llm_worker
