// What the core remembers: who held how much, and refusals with the numbers of their moment.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "admission/price.h"
#include "admission/scheduler_core.h"
#include "common/random.h"
#include "common/testing/fake_clock.h"
#include "common/testing/seeded_random.h"

namespace headroom::admission {
namespace {

using std::chrono::seconds;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kModel[] = "m";

class SchedulerPastTest : public testing::Test {
 protected:
  SchedulerPastTest() {
    options_.workers.cluster_id = "c";
    options_.startup_grace = milliseconds(0);
    options_.queue.entries_max = 2;
    core_ = std::make_unique<SchedulerCore>(options_, random_, clock_.Now());
  }

  void Apply(const Event& event) {
    for (const Action& action : core_->Apply(event, clock_.Now())) {
      if (const auto* granted = std::get_if<Granted>(&action)) granted_[granted->ticket] = granted->grant;
    }
  }
  void Join(const std::string& name, LinkId link, std::vector<Role> roles, const Resources& capacity) {
    WorkerHello hello;
    hello.link = link;
    hello.cluster_id = "c";
    hello.incarnation = 1;
    hello.info = {name, "10.0.0.1:1", "cuda:0", kModel, std::move(roles), capacity, 1024, 1000, 16, 0, 2048};
    hello.state = WorkerState::kReady;
    Apply(hello);
    Apply(Heartbeat{link, 0, {}, WorkerState::kReady, 1, core_->epoch()});
  }
  void ReportLedger(LinkId link, int64_t total, int64_t pool) {
    core_->Report(link, {.total_bytes = total, .lines = {{.component = "kv_pool", .planned = pool}}}, clock_.Now());
  }
  void Ask(Ticket ticket, const std::string& id, int64_t prompt, int64_t answer, milliseconds wait = seconds(10)) {
    Reserve reserve;
    reserve.ticket = ticket;
    reserve.request_id = id;
    reserve.tenant = "t";
    reserve.model = kModel;
    reserve.price = *ComputePrice({.prompt_tokens = prompt, .max_tokens = answer, .block_size = 16});
    reserve.wait_max = wait;
    Apply(reserve);
  }
  std::vector<RefusalRecord> Refusals(const std::string& id = "") const { return core_->refusals().Last(id, 100); }

  SchedulerCore::Options options_;
  FakeClock clock_;
  SeededRandom random_{1};
  std::unique_ptr<SchedulerCore> core_;
  std::map<Ticket, Grant> granted_;
};

TEST_F(SchedulerPastTest, LegsKnowTheirRequest) {
  Join("llm-0", 1, {Role::kLlm}, {.slots = 4, .kv_blocks = 60, .host_bytes = 1 << 20});
  Ask(1, "first", 100, 60);
  const TimePoint granted = clock_.Now();
  ASSERT_TRUE(granted_.contains(1));
  clock_.Advance(milliseconds(5));
  const LegKey leg{granted_[1].id, Role::kLlm};
  Apply(LegActivated{1, 1, {leg, granted_[1].legs[0].resources}});
  clock_.Advance(seconds(2));
  Apply(LegSettled{1, 2, leg});
  clock_.Advance(seconds(2));
  const auto then = core_->history().At(granted + seconds(1), "", 10);
  ASSERT_THAT(then, SizeIs(1));
  ASSERT_THAT(then[0].legs, SizeIs(1));
  EXPECT_EQ(then[0].legs[0].request_id, "first");
  EXPECT_EQ(then[0].legs[0].tenant, "t");
  EXPECT_EQ(then[0].legs[0].resources.kv_blocks, 10);
  EXPECT_EQ(then[0].legs[0].active_at, granted + milliseconds(5));
  EXPECT_EQ(then[0].legs[0].ended_at, granted + milliseconds(2005));
  EXPECT_THAT(core_->history().At(clock_.Now(), "", 10), IsEmpty());
}

// Legs of a process that is gone end when its successor says hello.
TEST_F(SchedulerPastTest, WorkersThatRestart) {
  Join("llm-0", 1, {Role::kLlm}, {.slots = 4, .kv_blocks = 60, .host_bytes = 1 << 20});
  Ask(1, "first", 100, 60);
  Apply(LegActivated{1, 1, {{granted_[1].id, Role::kLlm}, granted_[1].legs[0].resources}});
  clock_.Advance(seconds(1));
  Apply(LinkLost{1});
  WorkerHello hello;
  hello.link = 2;
  hello.cluster_id = "c";
  hello.incarnation = 2;
  hello.info = core_->table().workers().at("llm-0").info;
  Apply(hello);
  const auto before = core_->history().At(clock_.Now() - milliseconds(1), "", 10);
  ASSERT_THAT(before, SizeIs(1));
  EXPECT_EQ(before[0].incarnation, 1u);
  EXPECT_THAT(before[0].legs, SizeIs(1));
  EXPECT_THAT(core_->history().At(clock_.Now(), "", 10), IsEmpty());
}

TEST_F(SchedulerPastTest, NeverFitsWithItsNumbers) {
  Join("llm-0", 1, {Role::kLlm}, {.slots = 4, .kv_blocks = 20, .host_bytes = 1 << 20});
  Join("llm-1", 2, {Role::kLlm}, {.slots = 4, .kv_blocks = 40, .host_bytes = 1 << 20});
  // The pool is aligned to pages; what a block takes is said in the hello.
  ReportLedger(2, 1'000'000, 40 * 4096);
  Ask(1, "big", 600, 100);
  ASSERT_THAT(Refusals(), SizeIs(1));
  const RefusalRecord refusal = Refusals("big")[0];
  EXPECT_EQ(refusal.reason, RefusalReason::kNeverFits);
  EXPECT_EQ(refusal.tenant, "t");
  ASSERT_TRUE(refusal.shortfall);
  EXPECT_EQ(refusal.shortfall->worker, "llm-1") << "the one that comes nearest";
  EXPECT_EQ(refusal.shortfall->needed, 44);
  EXPECT_EQ(refusal.shortfall->capacity, 40);
  ASSERT_THAT(refusal.legs, SizeIs(1));
  EXPECT_EQ(refusal.legs[0].worker, "llm-1");
  EXPECT_EQ(refusal.legs[0].device, "cuda:0");
  EXPECT_EQ(refusal.legs[0].block_bytes, 2048);
  EXPECT_EQ(refusal.UnitBytes(), 2048);
  const auto remedies = Remedies(refusal);
  ASSERT_THAT(remedies, SizeIs(2));
  EXPECT_EQ(remedies[0].what, "max_tokens");
  EXPECT_EQ(remedies[0].fits, 40);
  EXPECT_EQ(remedies[1].what, "device.memory");
  EXPECT_EQ(remedies[1].fits, 1'000'000 + 8192);
  // The scheduler agrees.
  Ask(2, "fits", 600, 40);
  Ask(3, "not", 600, 41);
  EXPECT_TRUE(granted_.contains(2));
  EXPECT_FALSE(granted_.contains(3));
}

TEST_F(SchedulerPastTest, WaitedTooLongForRoom) {
  Join("llm-0", 1, {Role::kLlm}, {.slots = 4, .kv_blocks = 40, .host_bytes = 1 << 20});
  Ask(1, "holder", 300, 100);
  Ask(2, "waits", 200, 300, seconds(3));
  EXPECT_THAT(Refusals(), IsEmpty());
  clock_.Advance(seconds(4));
  Apply(Tick{});
  ASSERT_THAT(Refusals(), SizeIs(1));
  const RefusalRecord refusal = Refusals("waits")[0];
  EXPECT_EQ(refusal.reason, RefusalReason::kWaitTooLong);
  EXPECT_EQ(refusal.waited, seconds(4));
  ASSERT_THAT(refusal.legs, SizeIs(1));
  EXPECT_EQ(refusal.legs[0].room.kv_blocks, 15);
  EXPECT_EQ(refusal.shortfall->needed, 32);
  EXPECT_EQ(refusal.shortfall->free, 15);
  ASSERT_FALSE(Remedies(refusal).empty());
  EXPECT_EQ(Remedies(refusal)[0].what, "max_tokens");
  EXPECT_EQ(Remedies(refusal)[0].fits, 15 * 16 - 200);
}

TEST_F(SchedulerPastTest, OtherRefusals) {
  Ask(1, "nobody", 10, 10);
  EXPECT_EQ(Refusals("nobody")[0].reason, RefusalReason::kNoWorker);
  EXPECT_THAT(Refusals("nobody")[0].legs, IsEmpty());
  Join("llm-0", 1, {Role::kLlm}, {.slots = 1, .kv_blocks = 60, .host_bytes = 1 << 20});
  Ask(2, "long", 900, 200);
  EXPECT_EQ(Refusals("long")[0].reason, RefusalReason::kModelLimit);
  EXPECT_EQ(Remedies(Refusals("long")[0])[0].fits, 100 - 40) << "1000 tokens, and 60 blocks are 960";
  for (Ticket ticket = 3; ticket < 7; ++ticket) Ask(ticket, "r" + std::to_string(ticket), 10, 10);
  // One runs, two wait, the last finds the queue full.
  ASSERT_THAT(Refusals("r6"), SizeIs(1));
  EXPECT_EQ(Refusals("r6")[0].reason, RefusalReason::kQueueFull);
  EXPECT_EQ(Refusals("r6")[0].queue_entries, 2);
  ASSERT_THAT(Remedies(Refusals("r6")[0]), SizeIs(1));
  EXPECT_EQ(Remedies(Refusals("r6")[0])[0].fits, 3);
  Apply(Drain{});
  EXPECT_EQ(Refusals("r4")[0].reason, RefusalReason::kDraining);
  EXPECT_EQ(Refusals("r5")[0].reason, RefusalReason::kDraining);
  EXPECT_THAT(Remedies(Refusals("r5")[0]), IsEmpty());
  // Numbers that are no numbers are not remembered, nor are names without end.
  Reserve odd;
  odd.ticket = 9;
  odd.request_id = std::string(1'000'000, 'x');
  odd.price.llm = Resources{.slots = 1};
  Apply(odd);
  EXPECT_NE(Refusals()[0].request_id.size(), odd.request_id.size());
}

}  // namespace
}  // namespace headroom::admission
