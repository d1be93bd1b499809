// Who goes when: fair turns, protection, priorities, and how workers and the scheduler drain.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "admission/testing/scheduler_core_fixture.h"

namespace headroom::admission {
namespace {

using std::chrono::seconds;

TEST_F(SchedulerCoreTest, LargeRequestIsOvertakenOnlySoOften) {
  options_.overtakes_max = 3;
  Restart();
  JoinLlm();
  Ask(50);
  const Ticket large = Ask(100);
  // Small ones come for ever; whenever one cannot go, the oldest that runs ends.
  std::set<Ticket> ended;
  for (int i = 0; i < 50 && !IsGranted(large); ++i) {
    if (IsGranted(Ask(20))) continue;
    for (const auto& [ticket, grant] : granted_) {
      if (!ended.insert(ticket).second) continue;
      Apply(Void{GrantId(grant.id)});
      break;
    }
  }
  ASSERT_TRUE(IsGranted(large));
  EXPECT_EQ(granted_.size(), 5u) << "the first, three that passed, the large one";
}

TEST_F(SchedulerCoreTest, ProtectionHoldsOnlyTheRolesThatAreShort) {
  options_.overtakes_max = 0;
  Restart();
  JoinLlm(1);
  Join("vision-2", 2, {Role::kVision}, {.slots = 1, .patches = 1024});
  const Ticket first = Ask(10, WithImage);
  const Ticket second = Ask(10, WithImage);
  ASSERT_TRUE(IsGranted(first));
  ASSERT_FALSE(IsGranted(second));
  EXPECT_TRUE(IsGranted(Ask(10))) << "short of vision only: text may pass";
}

TEST_F(SchedulerCoreTest, WhatOnlyALoadingWorkerCanTakeHoldsNobody) {
  options_.overtakes_max = 0;
  Restart();
  JoinLlm(1, 100);
  Join("llm-big", 2, {Role::kLlm}, {.slots = 10, .kv_blocks = 1000});
  Beat(2, 0, {}, WorkerState::kLoading);
  const Ticket large = Ask(500);
  EXPECT_EQ(ReasonOf(large), std::nullopt);
  EXPECT_TRUE(IsGranted(Ask(100)));
  Beat(2);
  EXPECT_TRUE(IsGranted(large));
}

TEST_F(SchedulerCoreTest, PrioritiesAndFairTurns) {
  JoinLlm();
  const Ticket holder = Ask(100);
  auto tenant = [](const std::string& name, int32_t priority = 0) {
    return [name, priority](Reserve& reserve) {
      reserve.tenant = name;
      reserve.priority = priority;
    };
  };
  std::vector<Ticket> greedy;
  for (int i = 0; i < 4; ++i) greedy.push_back(Ask(100, tenant("greedy")));
  const Ticket modest = Ask(100, tenant("modest"));
  const Ticket urgent = Ask(100, tenant("greedy", 5));
  std::vector<Ticket> order;
  GrantId current = granted_[holder].id;
  for (int i = 0; i < 6; ++i) {
    const auto actions = Apply(Void{current});
    ASSERT_EQ(actions.size(), 1u);
    const auto& granted = std::get<Granted>(actions[0]);
    order.push_back(granted.ticket);
    current = granted.grant.id;
  }
  EXPECT_THAT(order, testing::ElementsAre(urgent, greedy[0], modest, greedy[1], greedy[2], greedy[3]));
}

TEST_F(SchedulerCoreTest, PrioritiesOutsideTheRangeAreRefused) {
  JoinLlm();
  auto with = [](int32_t priority) { return [priority](Reserve& reserve) { reserve.priority = priority; }; };
  for (const int32_t priority : {kPriorityMin, kPriorityMax}) EXPECT_TRUE(IsGranted(Ask(1, with(priority))));
  for (const int32_t priority : {kPriorityMin - 1, kPriorityMax + 1, INT32_MIN, INT32_MAX}) {
    const Ticket ticket = Ask(1, with(priority));
    ASSERT_EQ(ReasonOf(ticket), RefusalReason::kInvalidReserve) << priority;
    EXPECT_EQ(refused_.at(ticket).message, absl::StrCat("priority: ", priority, " is not between -8 and 8"));
  }
}

TEST_F(SchedulerCoreTest, MovedRequestsKeepTheirPlace) {
  JoinLlm();
  const Ticket holder = Ask(100);
  Ask(100);
  const Ticket moved = Ask(100, [](Reserve& reserve) {
    reserve.queued = seconds(30);
    reserve.resume = true;
  });
  const auto actions = Apply(Void{granted_[holder].id});
  ASSERT_EQ(actions.size(), 1u);
  EXPECT_EQ(std::get<Granted>(actions[0]).ticket, moved);
  EXPECT_EQ(std::get<Granted>(actions[0]).queued, seconds(30));
}

// A worker that drains waits for what was granted there: it is told, once a link, when nothing is on its way any more.
TEST_F(SchedulerCoreTest, DrainingWorkersAreReleasedWhenNothingIsPending) {
  const auto released = [](const std::vector<Action>& actions) {
    return std::any_of(actions.begin(), actions.end(), [](const Action& action) {
      return std::holds_alternative<Release>(action) && std::get<Release>(action).link == 1;
    });
  };
  JoinLlm();
  const GrantId voided = granted_[Ask(1)].id;
  const GrantId used = granted_[Ask(1)].id;
  EXPECT_FALSE(released(Apply(StateChanged{1, 1, WorkerState::kDraining, 1}))) << "two grants are on their way";
  EXPECT_FALSE(released(Apply(Void{voided})));
  EXPECT_TRUE(released(Apply(LegActivated{1, 2, {{used, Role::kLlm}, {.slots = 1, .kv_blocks = 1}}})))
      << "what is active is the worker's own business";
  EXPECT_FALSE(released(
      Apply(Heartbeat{1, 2, {{{used, Role::kLlm}, {.slots = 1, .kv_blocks = 1}}}, WorkerState::kDraining, 1, 1})))
      << "said before";
  EXPECT_FALSE(released(Apply(LegSettled{1, 3, {used, Role::kLlm}})));
}

TEST_F(SchedulerCoreTest, ExpiryReleasesAndANewLinkIsToldAgain) {
  JoinLlm();
  Ask(1);
  bool released = false;
  const auto look = [&released](const std::vector<Action>& actions) {
    for (const Action& action : actions) released = released || std::holds_alternative<Release>(action);
  };
  look(Apply(StateChanged{1, 1, WorkerState::kDraining, 1}));
  EXPECT_FALSE(released);
  for (int i = 0; i < 100 && !released; ++i) {
    clock_.Advance(milliseconds(500));
    look(Apply(Heartbeat{1, 1, {}, WorkerState::kDraining, 1, core_->epoch()}));
    look(Apply(Tick{}));
  }
  EXPECT_TRUE(released) << "the grant has expired";
  released = false;
  WorkerHello hello;
  hello.link = 2;
  hello.cluster_id = options_.workers.cluster_id;
  hello.incarnation = core_->table().workers().begin()->second.incarnation;
  hello.info = core_->table().workers().begin()->second.info;
  hello.state = WorkerState::kDraining;
  look(Apply(LinkLost{1}));
  EXPECT_FALSE(released);
  look(Apply(hello));
  EXPECT_TRUE(released) << "what was said on the first link may be lost";
}

// Two models: one that is full has its own turns, its own places in the queue and its own pace.
TEST_F(SchedulerCoreTest, AFullModelHoldsUpNoOther) {
  options_.queue.entries_max = 8;
  options_.overtakes_max = 0;
  Restart();
  JoinTwoModels();
  const auto for_other = [](Reserve& reserve) { reserve.model = "n"; };
  ASSERT_TRUE(IsGranted(Ask(100)));
  std::vector<Ticket> waiting;
  for (int i = 0; i < 4; ++i) waiting.push_back(Ask(100));
  for (const Ticket ticket : waiting) ASSERT_EQ(ReasonOf(ticket), std::nullopt);
  const Ticket beyond = Ask(1);
  ASSERT_EQ(ReasonOf(beyond), RefusalReason::kQueueFull) << "half of the places are the other model's";
  EXPECT_THAT(refused_.at(beyond).message, testing::HasSubstr("4 requests for this model wait, 4 in all"));
  EXPECT_EQ(refused_.at(beyond).shortfall->capacity, 8);

  // It goes on as if it were alone, with the first model's queue full and all its room protected.
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(IsGranted(Ask(20, for_other)));
  for (int i = 0; i < 4; ++i) {
    const Ticket ticket = Ask(20, for_other);
    EXPECT_EQ(ReasonOf(ticket), std::nullopt) << i;
    EXPECT_FALSE(IsGranted(ticket));
  }
  EXPECT_EQ(ReasonOf(Ask(20, for_other)), RefusalReason::kQueueFull);
  // Its worker goes: what waits for it is refused, and the other model has the whole queue.
  Apply(LinkLost{2});
  PassTime(seconds(10));
  EXPECT_EQ(core_->Status(clock_.Now()).queue_entries, 4);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(ReasonOf(Ask(100)), std::nullopt);
  EXPECT_EQ(ReasonOf(Ask(1)), RefusalReason::kQueueFull);
}

TEST_F(SchedulerCoreTest, RetryDelaysFollowTheModelsOwnPace) {
  options_.queue.entries_max = 2;
  Restart();
  JoinTwoModels();
  const auto for_other = [](Reserve& reserve) { reserve.model = "n"; };
  // A request for "m" runs ten seconds, one for "n" a tenth of one.
  for (int i = 0; i < 6; ++i) {
    const Ticket slow = Ask(100);
    ASSERT_TRUE(IsGranted(slow));
    for (int j = 0; j < 10; ++j) {
      const Ticket quick = Ask(100, for_other);
      ASSERT_TRUE(IsGranted(quick));
      clock_.Advance(milliseconds(100));
      Apply(Void{granted_[quick].id});
    }
    PassTime(seconds(9), {1, 2});
    Apply(Void{granted_[slow].id});
  }
  Ask(100);
  Ask(100, for_other);
  Ask(100);
  Ask(100, for_other);
  const Ticket slow = Ask(100), quick = Ask(100, for_other);
  ASSERT_EQ(ReasonOf(slow), RefusalReason::kQueueFull);
  ASSERT_EQ(ReasonOf(quick), RefusalReason::kQueueFull);
  EXPECT_GT(refused_.at(slow).retry_delay, seconds(5));
  EXPECT_LT(refused_.at(quick).retry_delay, seconds(5));
}

TEST_F(SchedulerCoreTest, DrainRefusesAll) {
  JoinLlm();
  Ask(100);
  const Ticket waiting = Ask(1);
  Apply(Drain{});
  EXPECT_EQ(ReasonOf(waiting), RefusalReason::kDraining);
  EXPECT_EQ(ReasonOf(Ask(1)), RefusalReason::kDraining);
}

}  // namespace
}  // namespace headroom::admission
