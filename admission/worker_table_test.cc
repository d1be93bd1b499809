#include "admission/worker_table.h"

#include <gtest/gtest.h>

#include "admission/history.h"

namespace headroom::admission {
namespace {

// Who may join, and reports out of order. The rest of what reports do is tested through the core
// (scheduler_core_test.cc).
class WorkerTableTest : public testing::Test {
 protected:
  absl::Status Join(const std::string& name, Role role, int64_t block_size, int64_t row_bytes,
                    const std::string& model = "m") {
    WorkerHello hello;
    hello.link = ++links_;
    hello.cluster_id = "c";
    hello.incarnation = 1;
    hello.info = {.worker = name,
                  .endpoint = "inproc:" + name,
                  .device = "cpu",
                  .model = model,
                  .roles = {role},
                  .capacity = {.slots = 1},
                  .block_size = block_size,
                  .embedding_row_bytes = row_bytes};
    std::optional<LinkId> replaced;
    return table_.Hello(hello, now_, replaced);
  }

  TimePoint now_;
  LinkId links_ = 0;
  History history_{{}, now_};
  WorkerTable table_{{.cluster_id = "c"}, history_};
};

TEST_F(WorkerTableTest, WorkersOfAModelCountInTheSameUnits) {
  ASSERT_TRUE(Join("llm-0", Role::kLlm, 16, 512).ok());
  ASSERT_TRUE(Join("vision-0", Role::kVision, 0, 512).ok()) << "it has no blocks";
  const absl::Status blocks = Join("llm-1", Role::kLlm, 4, 512);
  EXPECT_TRUE(absl::IsFailedPrecondition(blocks));
  EXPECT_EQ(blocks.message(), "workers of one model must agree on block_size: this one says 4, llm-0 says 16");
  for (Role role : {Role::kLlm, Role::kVision}) {
    EXPECT_TRUE(absl::IsFailedPrecondition(Join("x", role, role == Role::kLlm ? 16 : 0, 1024))) << RoleName(role);
  }
  EXPECT_EQ(table_.workers().size(), 2) << "the refused are not on the books";
  EXPECT_TRUE(Join("llm-1", Role::kLlm, 16, 0).ok()) << "an older one does not say";
  EXPECT_TRUE(Join("other", Role::kLlm, 4, 1024, "another model").ok());
}

// A pool changes its units when all of the old kind are gone.
TEST_F(WorkerTableTest, OnlyWorkersThatAreThereBindOthers) {
  ASSERT_TRUE(Join("llm-0", Role::kLlm, 16, 512).ok());
  EXPECT_TRUE(Join("llm-0", Role::kLlm, 4, 512).ok()) << "not itself";
  ASSERT_TRUE(Join("llm-1", Role::kLlm, 4, 512).ok());
  table_.Lost(2);
  EXPECT_FALSE(Join("llm-2", Role::kLlm, 32, 512).ok());
  now_ += milliseconds(5'001);
  EXPECT_TRUE(Join("llm-2", Role::kLlm, 32, 512).ok()) << "llm-0 is gone, llm-1 silent";
}

// A heartbeat is a later picture than the events that follow it: a leg that came and went between the two shows in
// neither.
TEST_F(WorkerTableTest, SettledLegHoldsNothingThoughAHeartbeatOvertookItsEvents) {
  ASSERT_TRUE(Join("llm-0", Role::kLlm, 16, 512).ok());
  const LegKey leg{{7, 7}, Role::kLlm};
  Grant grant;
  grant.id = leg.id;
  Leg& promised = grant.legs.emplace_back();
  promised.worker = "llm-0";
  promised.role = leg.role;
  promised.resources = {.slots = 1};
  table_.AddGrant(grant, now_);
  ASSERT_EQ(table_.pending_grants(), 1);
  ASSERT_TRUE(table_.Beat({1, 2, {}, WorkerState::kReady, 1, 0}, now_).ok());
  ASSERT_TRUE(table_.Activated({1, 1, {leg, {.slots = 1}}}, now_).ok());
  ASSERT_TRUE(table_.Settled({1, 2, leg}, now_).ok());
  EXPECT_EQ(table_.pending_grants(), 0);
  EXPECT_TRUE(table_.workers().at("llm-0").active.empty());
}

}  // namespace
}  // namespace headroom::admission
