#include "admission/worker_gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "common/testing/fake_clock.h"

namespace headroom::admission {
namespace {

using std::chrono::seconds;

class WorkerGateTest : public testing::Test {
 protected:
  WorkerGateTest() { Make(); }

  void Make(size_t settled_ids_max = 100) {
    gate_.reset();
    gate_ = std::make_unique<WorkerGate>(WorkerGate::Options{.worker = "llm-0",
                                                             .cluster_id = "c",
                                                             .model = "m",
                                                             .incarnation = 7,
                                                             .capacity = {.slots = 4, .kv_blocks = 100},
                                                             .settled_memory = seconds(20),
                                                             .settled_ids_max = settled_ids_max},
                                         clock_);
    gate_->SetState(WorkerState::kReady, 1);
    gate_->ObserveEpoch("c", 5);
  }

  Grant MakeGrant(int64_t blocks) { return MakeGrantFor(++last_id_, blocks); }

  static Grant MakeGrantFor(uint64_t id, int64_t blocks = 1) {
    Grant grant{.id = {9, id}, .cluster_id = "c", .epoch = 5, .legs = {}, .ttl = seconds(9), .model = "m"};
    grant.legs.push_back({.role = Role::kLlm,
                          .worker = "llm-0",
                          .endpoint = "",
                          .incarnation = 7,
                          .rank = 0,
                          .resources = {.slots = 1, .kv_blocks = blocks}});
    return grant;
  }

  absl::StatusCode CodeFor(const Grant& grant, Role role = Role::kLlm) {
    return gate_->Activate(grant, role).status().code();
  }

  FakeClock clock_;
  std::unique_ptr<WorkerGate> gate_;
  uint64_t last_id_ = 0;
};

TEST_F(WorkerGateTest, ChecksEveryFence) {
  const auto changed = [this](auto change) {
    Grant grant = MakeGrant(1);
    change(grant);
    return CodeFor(grant);
  };
  using absl::StatusCode;
  EXPECT_EQ(changed([](Grant&) {}), StatusCode::kOk);
  EXPECT_EQ(changed([](Grant& grant) { grant.cluster_id = "other"; }), StatusCode::kFailedPrecondition);
  EXPECT_EQ(changed([](Grant& grant) { grant.model = "other"; }), StatusCode::kFailedPrecondition);
  EXPECT_EQ(changed([](Grant& grant) { grant.legs[0].worker = "llm-1"; }), StatusCode::kFailedPrecondition);
  EXPECT_EQ(changed([](Grant& grant) { grant.legs[0].incarnation = 6; }), StatusCode::kAborted);
  for (uint64_t epoch : {uint64_t{4}, uint64_t{6}, UINT64_MAX}) {
    EXPECT_EQ(changed([epoch](Grant& grant) { grant.epoch = epoch; }), StatusCode::kAborted) << epoch;
  }
  EXPECT_EQ(changed([](Grant& grant) { grant.ttl = milliseconds(0); }), StatusCode::kAborted);
  EXPECT_EQ(changed([](Grant& grant) { grant.ttl = milliseconds(INT64_MIN); }), StatusCode::kAborted);
  EXPECT_EQ(changed([](Grant& grant) { grant.ttl = milliseconds(INT64_MAX); }), StatusCode::kOk);
  EXPECT_EQ(changed([](Grant& grant) { grant.legs[0].resources.kv_blocks = -1; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(changed([](Grant& grant) { grant.legs[0].resources.kv_blocks = INT64_MAX; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(CodeFor(MakeGrant(1), Role::kVision), StatusCode::kInvalidArgument);
  EXPECT_EQ(gate_->Snapshot().reserved, Resources{});
}

TEST_F(WorkerGateTest, TtlCountsFromReceipt) {
  const Grant grant = MakeGrant(1);
  const TimePoint received_at = clock_.Now();
  clock_.Advance(seconds(9) - milliseconds(1));
  EXPECT_TRUE(gate_->Activate(grant, Role::kLlm, received_at).ok());
  const Grant late = MakeGrant(1);
  clock_.Advance(milliseconds(1));
  EXPECT_TRUE(absl::IsAborted(gate_->Activate(late, Role::kLlm, received_at).status()));
}

TEST_F(WorkerGateTest, HoldsTheCapacityAndGivesItBack) {
  auto first = gate_->Activate(MakeGrant(60), Role::kLlm);
  ASSERT_TRUE(first.ok());
  const absl::Status refused = gate_->Activate(MakeGrant(41), Role::kLlm).status();
  EXPECT_TRUE(absl::IsResourceExhausted(refused));
  EXPECT_THAT(std::string(refused.message()), testing::HasSubstr("needs 41, free 40 of 100"));
  auto second = gate_->Activate(MakeGrant(40), Role::kLlm);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(gate_->Snapshot().reserved.kv_blocks, 100);
  first->Settle();
  first->Settle();
  EXPECT_FALSE(first->active());
  EXPECT_EQ(gate_->Snapshot().reserved.kv_blocks, 40);
  ActiveLeg moved = std::move(*second);
  EXPECT_FALSE(second->active());
  EXPECT_TRUE(moved.active());
  moved = ActiveLeg();
  EXPECT_EQ(gate_->Snapshot().reserved, Resources{});
}

TEST_F(WorkerGateTest, AnIdIsUsedOnceAndRememberedForAWhile) {
  const Grant grant = MakeGrant(1);
  auto leg = gate_->Activate(grant, Role::kLlm);
  ASSERT_TRUE(leg.ok());
  EXPECT_EQ(CodeFor(grant), absl::StatusCode::kAlreadyExists);
  leg->Settle();
  EXPECT_EQ(CodeFor(grant), absl::StatusCode::kAlreadyExists);
  clock_.Advance(seconds(20) - milliseconds(1));
  EXPECT_EQ(CodeFor(grant), absl::StatusCode::kAlreadyExists);
}

TEST_F(WorkerGateTest, RememberedIdsAreBounded) {
  Make(/*settled_ids_max=*/3);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(CodeFor(MakeGrant(1)), absl::StatusCode::kOk);
  EXPECT_EQ(CodeFor(MakeGrant(1)), absl::StatusCode::kResourceExhausted) << "a replay could not be told from a new id";
  clock_.Advance(seconds(20));
  EXPECT_EQ(CodeFor(MakeGrant(1)), absl::StatusCode::kOk);
}

TEST_F(WorkerGateTest, UsedNeverExceedsReserved) {
  auto leg = gate_->Activate(MakeGrant(10), Role::kLlm);
  ASSERT_TRUE(leg.ok());
  EXPECT_TRUE(leg->AddUsed({.kv_blocks = 10}).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(leg->AddUsed({.kv_blocks = 1})));
  EXPECT_EQ(leg->used().kv_blocks, 10);
  EXPECT_TRUE(leg->AddUsed({.kv_blocks = -4}).ok());
  EXPECT_EQ(gate_->Snapshot().used.kv_blocks, 6);
  EXPECT_DEATH((void)leg->AddUsed({.kv_blocks = -7}), "gives back more");
}

TEST_F(WorkerGateTest, APartGivenBackIsRoomForOthersAndIsTold) {
  std::vector<GateEvent> events;
  gate_->SetListener([&](const GateEvent& event) { events.push_back(event); });
  auto leg = gate_->Activate(MakeGrant(100), Role::kLlm);
  ASSERT_TRUE(leg.ok());
  ASSERT_TRUE(leg->AddUsed({.kv_blocks = 60}).ok());
  EXPECT_EQ(CodeFor(MakeGrant(1)), absl::StatusCode::kResourceExhausted);
  leg->GiveBack({.kv_blocks = 30});
  EXPECT_EQ(leg->resources().kv_blocks, 70);
  EXPECT_EQ(gate_->Snapshot().reserved.kv_blocks, 70);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].kind, GateEvent::Kind::kActivated);
  EXPECT_EQ(events[1].leg, leg->key());
  EXPECT_EQ(events[1].resources.kv_blocks, 70);
  EXPECT_EQ(CodeFor(MakeGrant(30)), absl::StatusCode::kOk);
  EXPECT_DEATH(leg->GiveBack({.kv_blocks = 11}), "gives back what it uses");
  leg->Settle();
  gate_->SetListener({});
  EXPECT_EQ(gate_->Snapshot().reserved, Resources{});
}

TEST_F(WorkerGateTest, EpochsNeverGoBack) {
  EXPECT_TRUE(gate_->ObserveEpoch("c", 9));
  EXPECT_FALSE(gate_->ObserveEpoch("c", 8));
  EXPECT_FALSE(gate_->ObserveEpoch("other", 10));
  EXPECT_EQ(gate_->Snapshot().highest_epoch, 9u);
  EXPECT_EQ(CodeFor(MakeGrant(1)), absl::StatusCode::kAborted);
  Grant newer = MakeGrant(1);
  newer.epoch = 12;
  EXPECT_EQ(CodeFor(newer), absl::StatusCode::kAborted);
  EXPECT_EQ(gate_->Snapshot().highest_epoch, 9u) << "a grant raises nothing";
  EXPECT_TRUE(gate_->ObserveEpoch("c", 12));
  EXPECT_EQ(CodeFor(newer), absl::StatusCode::kOk);
}

TEST_F(WorkerGateTest, StatesDecide) {
  gate_->SetState(WorkerState::kLoading, 0.5);
  EXPECT_EQ(CodeFor(MakeGrant(1)), absl::StatusCode::kUnavailable);
  gate_->SetState(WorkerState::kDraining, 2);
  EXPECT_EQ(CodeFor(MakeGrant(1)), absl::StatusCode::kOk) << "granted before the drain";
  EXPECT_EQ(gate_->Snapshot().load_progress, 1);
}

TEST_F(WorkerGateTest, EventsAreNumberedWithoutGaps) {
  std::vector<GateEvent> events;
  gate_->SetListener([&](const GateEvent& event) { events.push_back(event); });
  const uint64_t before = gate_->Snapshot().last_event;
  const Grant grant = MakeGrant(3);
  { auto leg = gate_->Activate(grant, Role::kLlm); }
  gate_->SetState(WorkerState::kDraining, 1);
  EXPECT_EQ(CodeFor(grant), absl::StatusCode::kAlreadyExists);
  gate_->SetListener({});
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].kind, GateEvent::Kind::kActivated);
  EXPECT_EQ(events[0].resources.kv_blocks, 3);
  EXPECT_EQ(events[1].kind, GateEvent::Kind::kSettled);
  EXPECT_EQ(events[1].leg, (LegKey{grant.id, Role::kLlm}));
  EXPECT_EQ(events[2].state, WorkerState::kDraining);
  for (size_t i = 0; i < events.size(); ++i) EXPECT_EQ(events[i].number, before + 1 + i);
  EXPECT_EQ(gate_->Snapshot().last_event, before + 3);
}

// Threads race for a capacity of 4 slots with ids of which each pair is the same: at most 4 at once, no id twice.
TEST_F(WorkerGateTest, IsSafeUnderThreads) {
  constexpr int kThreads = 8;
  constexpr int kIds = 300;
  Make(/*settled_ids_max=*/kThreads * kIds);
  std::atomic<int> inside = 0;
  std::atomic<int> activated = 0;
  auto work = [&](int index) {
    for (int i = 0; i < kIds; ++i) {
      Grant grant = MakeGrantFor(static_cast<uint64_t>(index) / 2 * kIds + static_cast<uint64_t>(i));
      auto leg = gate_->Activate(grant, Role::kLlm);
      if (!leg.ok()) continue;
      ++activated;
      EXPECT_LE(++inside, 4);
      --inside;
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(work, i);
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(activated.load(), 0);
  EXPECT_LE(activated.load(), kThreads / 2 * kIds);
  EXPECT_EQ(gate_->Snapshot().reserved, Resources{});
}

}  // namespace
}  // namespace headroom::admission
