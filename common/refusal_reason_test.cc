#include "common/refusal_reason.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace headroom {
namespace {

TEST(RefusalReason, EveryOneHasARowAtItsPlace) {
  // The last of the enum.
  ASSERT_EQ(RefusalReasons().size(), static_cast<size_t>(RefusalReason::kEmbeddingsNotAvailable) + 1);
  for (size_t i = 0; i < RefusalReasons().size(); ++i) {
    const RefusalReasonInfo& info = RefusalReasons()[i];
    EXPECT_EQ(static_cast<size_t>(info.reason), i) << info.name;
    EXPECT_EQ(&InfoOf(info.reason), &info);
    EXPECT_EQ(FindRefusalReason(info.name), info.reason);
  }
}

TEST(RefusalReason, NamesAreOnesThatErrorInfoTakes) {
  std::set<std::string> names;
  for (const RefusalReasonInfo& info : RefusalReasons()) {
    EXPECT_TRUE(names.insert(info.name).second) << info.name << " is there twice";
    // google/rpc/error_details.proto: [A-Z][A-Z0-9_]+[A-Z0-9], at most 63 characters.
    EXPECT_THAT(info.name, testing::MatchesRegex("[A-Z][A-Z0-9_]+[A-Z0-9]"));
    EXPECT_LE(std::string(info.name).size(), 63u);
  }
  EXPECT_EQ(FindRefusalReason("OF_A_LATER_VERSION"), std::nullopt);
  EXPECT_EQ(FindRefusalReason(""), std::nullopt);
  EXPECT_EQ(FindRefusalReason("never_fits"), std::nullopt) << "one spelling";
}

// Clients that only know the code must come to the same conclusion.
TEST(RefusalReason, TheCodeSaysWhetherRetryingHelps) {
  for (const RefusalReasonInfo& info : RefusalReasons()) {
    const bool passing = info.code == absl::StatusCode::kUnavailable ||
                         info.code == absl::StatusCode::kResourceExhausted ||
                         info.code == absl::StatusCode::kDeadlineExceeded;
    EXPECT_EQ(info.retry, passing) << info.name;
    EXPECT_NE(info.code, absl::StatusCode::kOk) << info.name;
  }
}

TEST(RefusalReason, ServicesAndBudgets) {
  for (const RefusalReasonInfo& info : RefusalReasons()) {
    EXPECT_TRUE(info.IsOf("gateway") || info.IsOf("scheduler") || info.IsOf("worker")) << info.name;
    EXPECT_FALSE(info.IsOf("gate")) << info.name;
    EXPECT_FALSE(info.IsOf("")) << info.name;
  }
  EXPECT_THAT(InfoOf(RefusalReason::kQueueFull).Budgets(), testing::ElementsAre("queue"));
  EXPECT_THAT(InfoOf(RefusalReason::kDraining).Budgets(), testing::IsEmpty());
}

}  // namespace
}  // namespace headroom
