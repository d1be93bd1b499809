#include "admission/scheduler_core.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "admission/testing/scheduler_core_fixture.h"

namespace headroom::admission {
namespace {

using std::chrono::seconds;

TEST_F(SchedulerCoreTest, LegGoesFromPendingToActiveToNothing) {
  JoinLlm();
  const Ticket ticket = Ask(60);
  ASSERT_TRUE(IsGranted(ticket));
  const GrantId id = granted_[ticket].id;
  EXPECT_EQ(ReservedOf("llm-1").kv_blocks, 60);
  Apply(LegActivated{1, 1, {{id, Role::kLlm}, {.slots = 1, .kv_blocks = 60}}});
  EXPECT_EQ(ReservedOf("llm-1").kv_blocks, 60) << "not counted twice";
  EXPECT_EQ(core_->Status(clock_.Now()).grants_active, 1);
  EXPECT_EQ(core_->Status(clock_.Now()).grants_pending, 0);
  const Ticket waiting = Ask(50);
  EXPECT_FALSE(IsGranted(waiting));
  Apply(LegSettled{1, 2, {id, Role::kLlm}});
  EXPECT_TRUE(IsGranted(waiting)) << "room goes to who waits, at once";
}

TEST_F(SchedulerCoreTest, AllOrNothing) {
  JoinLlm(1);
  Join("vision-2", 2, {Role::kVision}, {.slots = 1, .patches = 1024});
  const Ticket first = Ask(10, WithImage);
  ASSERT_TRUE(IsGranted(first));
  EXPECT_EQ(granted_[first].legs.size(), 2u);
  const Ticket second = Ask(10, WithImage);
  EXPECT_FALSE(IsGranted(second));
  EXPECT_EQ(ReservedOf("llm-1").kv_blocks, 10) << "nothing is held while it waits for the vision slot";
  EXPECT_TRUE(IsGranted(Ask(10))) << "text does not wait behind images";
  Apply(Void{granted_[first].id});
  EXPECT_TRUE(IsGranted(second));
}

// A caller that named the grant gets rid of it without having heard of it, wherever its Reserve is then.
TEST_F(SchedulerCoreTest, VoidByTheCallersIdReachesReservesInEveryState) {
  JoinLlm();
  const auto named = [](uint64_t id) { return [id](Reserve& reserve) { reserve.grant = {9, id}; }; };
  const Ticket granted = Ask(100, named(1));
  ASSERT_TRUE(IsGranted(granted));
  EXPECT_EQ(granted_[granted].id, (GrantId{9, 1}));
  const Ticket waiting = Ask(100, named(2));
  for (uint64_t used : {1, 2})
    EXPECT_EQ(refused_.at(Ask(1, named(used))).reason, RefusalReason::kInvalidReserve) << used;
  Apply(Void{{9, 2}});
  EXPECT_EQ(refused_.at(waiting).reason, RefusalReason::kVoided);
  EXPECT_EQ(InfoOf(refused_.at(waiting).reason).code, absl::StatusCode::kCancelled);
  Apply(Void{{9, 1}});
  EXPECT_EQ(ReservedOf("llm-1").kv_blocks, 0);
  Apply(Void{{9, 3}});
  EXPECT_EQ(refused_.at(Ask(1, named(3))).reason, RefusalReason::kVoided) << "the Void came first";
  Apply(Void{});
  EXPECT_TRUE(IsGranted(Ask(1))) << "no id is no name";
}

TEST_F(SchedulerCoreTest, VoidsOfTheUnknownAreBounded) {
  JoinLlm();
  const auto named = [](uint64_t id) { return [id](Reserve& reserve) { reserve.grant = {9, id}; }; };
  for (uint64_t id = 1; id <= 4096 + 1; ++id) Apply(Void{{9, id}});
  EXPECT_TRUE(IsGranted(Ask(1, named(1)))) << "the oldest is forgotten";
  EXPECT_EQ(refused_.at(Ask(1, named(2))).reason, RefusalReason::kVoided);
}

TEST_F(SchedulerCoreTest, RefusesAtOnceWhatCanNeverFit) {
  JoinLlm(1, 100);
  JoinLlm(2, 120);
  const Ticket large = Ask(121);
  EXPECT_EQ(ReasonOf(large), RefusalReason::kNeverFits);
  EXPECT_EQ(InfoOf(refused_[large].reason).code, absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(refused_[large].shortfall->budget, "kv_blocks");
  EXPECT_EQ(refused_[large].shortfall->needed, 121);
  EXPECT_EQ(refused_[large].shortfall->capacity, 120) << "the worker that is short of the least";
  EXPECT_TRUE(IsGranted(Ask(120)));

  const Ticket long_one = Ask(1, [](Reserve& reserve) { reserve.price.sequence_tokens = 1001; });
  EXPECT_EQ(ReasonOf(long_one), RefusalReason::kModelLimit);
  EXPECT_EQ(InfoOf(refused_[long_one].reason).code, absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(Ask(1, [](Reserve& reserve) { reserve.price.llm->slots = 0; })), RefusalReason::kInvalidReserve);
  EXPECT_EQ(ReasonOf(Ask(1, [](Reserve& reserve) { reserve.price.llm->kv_blocks = -1; })),
            RefusalReason::kInvalidReserve);
  EXPECT_EQ(ReasonOf(Ask(1, [](Reserve& reserve) { reserve.price = {}; })), RefusalReason::kInvalidReserve);
  EXPECT_EQ(ReasonOf(Ask(1, [](Reserve& reserve) { reserve.exclude_workers.resize(65); })),
            RefusalReason::kInvalidReserve);
}

TEST_F(SchedulerCoreTest, PieceAboveTheStepIsAModelLimit) {
  JoinLlm(1);
  Join("vision-2", 2, {Role::kVision}, {.slots = 1, .patches = 1 << 20});
  const Ticket ticket = Ask(1, [](Reserve& reserve) {
    WithImage(reserve);
    reserve.price.largest_piece_patches = 1025;
  });
  EXPECT_EQ(ReasonOf(ticket), RefusalReason::kModelLimit);
  EXPECT_EQ(refused_[ticket].shortfall->budget, "max_patches_per_step");
}

TEST_F(SchedulerCoreTest, BothLegsOnOneWorkerMustFitTogether) {
  Join("both-1", 1, {Role::kVision, Role::kLlm}, {.slots = 1, .kv_blocks = 100, .patches = 4096});
  EXPECT_TRUE(IsGranted(Ask(1)));
  Apply(Void{granted_[1].id});
  const Ticket ticket = Ask(1, WithImage);
  EXPECT_EQ(ReasonOf(ticket), RefusalReason::kNeverFits);
  EXPECT_EQ(refused_[ticket].shortfall->budget, "slots");
  EXPECT_EQ(refused_[ticket].shortfall->needed, 2);
}

TEST_F(SchedulerCoreTest, WaitsForWorkersAfterTheStartAndRefusesLater) {
  const Ticket early = Ask(1);
  EXPECT_EQ(ReasonOf(early), std::nullopt);
  JoinLlm();
  EXPECT_TRUE(IsGranted(early));
  PassTime(options_.startup_grace);
  const Ticket other_model = Ask(1, [](Reserve& reserve) { reserve.model = "other"; });
  EXPECT_EQ(ReasonOf(other_model), RefusalReason::kNoWorker);
  EXPECT_GT(refused_[other_model].retry_delay.count(), 0);
  EXPECT_EQ(ReasonOf(Ask(1, [](Reserve& reserve) { reserve.exclude_workers = {"llm-1"}; })), RefusalReason::kNoWorker);
}

TEST_F(SchedulerCoreTest, WaitsForLoadingAndRefusesWhenAllDrain) {
  JoinLlm();
  Beat(1, 0, {}, WorkerState::kLoading);
  PassTime(options_.startup_grace, {});
  const Ticket ticket = Ask(1);
  EXPECT_FALSE(IsGranted(ticket));
  EXPECT_EQ(ReasonOf(ticket), std::nullopt);
  Apply(StateChanged{1, 1, WorkerState::kReady, 1});
  EXPECT_TRUE(IsGranted(ticket));
  Apply(StateChanged{1, 2, WorkerState::kDraining, 1});
  EXPECT_EQ(ReasonOf(Ask(1)), RefusalReason::kDraining);
}

TEST_F(SchedulerCoreTest, QueueIsBoundedInEntriesAndBytes) {
  options_.queue.entries_max = 3;
  Restart();
  JoinLlm();
  ASSERT_TRUE(IsGranted(Ask(100)));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ReasonOf(Ask(1)), std::nullopt);
  const Ticket fourth = Ask(1);
  EXPECT_EQ(ReasonOf(fourth), RefusalReason::kQueueFull);
  EXPECT_EQ(InfoOf(refused_[fourth].reason).code, absl::StatusCode::kResourceExhausted);
  EXPECT_GT(refused_[fourth].retry_delay.count(), 0);
  EXPECT_EQ(refused_[fourth].shortfall->capacity, 3);
  Apply(CancelReserve{2});
  EXPECT_EQ(ReasonOf(Ask(1)), std::nullopt) << "a place is free again";
}

TEST_F(SchedulerCoreTest, WaitEndsWithTheShortfall) {
  JoinLlm();
  ASSERT_TRUE(IsGranted(Ask(70)));
  const Ticket ticket = Ask(40, [](Reserve& reserve) { reserve.wait_max = milliseconds(500); });
  PassTime(milliseconds(499));
  EXPECT_EQ(ReasonOf(ticket), std::nullopt);
  PassTime(milliseconds(1));
  EXPECT_EQ(ReasonOf(ticket), RefusalReason::kWaitTooLong);
  EXPECT_EQ(InfoOf(refused_[ticket].reason).code, absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(refused_[ticket].shortfall->free, 30);
}

TEST_F(SchedulerCoreTest, PendingLegsExpireByTheRuleAndRenewPushesThat) {
  JoinLlm();
  const Ticket ticket = Ask(100);
  const GrantId id = granted_[ticket].id;
  const milliseconds life = options_.grant_ttl * 11 / 10 + options_.round_trip;
  PassTime(life - milliseconds(1));
  EXPECT_EQ(ReservedOf("llm-1").kv_blocks, 100);
  auto actions = Apply(Renew{99, id, core_->epoch()});
  ASSERT_EQ(actions.size(), 1u);
  EXPECT_TRUE(std::get<Renewed>(actions[0]).known);
  PassTime(life - milliseconds(1));
  EXPECT_EQ(ReservedOf("llm-1").kv_blocks, 100);
  PassTime(milliseconds(1));
  EXPECT_EQ(ReservedOf("llm-1").kv_blocks, 0);
  actions = Apply(Renew{99, id, core_->epoch()});
  EXPECT_FALSE(std::get<Renewed>(actions[0]).known);
  // The worker was faster than we knew: it is right.
  Apply(LegActivated{1, 1, {{id, Role::kLlm}, {.slots = 1, .kv_blocks = 100}}});
  EXPECT_EQ(ReservedOf("llm-1").kv_blocks, 100);
}

TEST_F(SchedulerCoreTest, ActiveLegsAreNeverReaped) {
  JoinLlm();
  const Ticket ticket = Ask(100);
  const LegReport leg{{granted_[ticket].id, Role::kLlm}, {.slots = 1, .kv_blocks = 100}};
  Apply(LegActivated{1, 1, leg});
  for (int i = 0; i < 100; ++i) {
    clock_.Advance(seconds(60));
    Beat(1, 1, {leg});
    Apply(Tick{});
  }
  EXPECT_EQ(ReservedOf("llm-1").kv_blocks, 100);
  Apply(Void{granted_[ticket].id});
  EXPECT_EQ(ReservedOf("llm-1").kv_blocks, 100) << "Void leaves active legs alone";
}

TEST_F(SchedulerCoreTest, LostLinkKeepsLegsUntilAnotherIncarnation) {
  JoinLlm();
  const Ticket ticket = Ask(60);
  const Ticket pending = Ask(10);
  const LegReport leg{{granted_[ticket].id, Role::kLlm}, {.slots = 1, .kv_blocks = 60}};
  Apply(LegActivated{1, 1, leg});
  Apply(LinkLost{1});
  EXPECT_FALSE(IsGranted(Ask(1))) << "unplaceable at once";
  PassTime(seconds(4), {});
  EXPECT_EQ(ReasonOf(3), std::nullopt) << "present: worth waiting for";
  PassTime(seconds(30), {});
  EXPECT_EQ(ReasonOf(3), RefusalReason::kNoWorker);
  EXPECT_EQ(ReservedOf("llm-1").kv_blocks, 70) << "pending legs may be active there by now";
  // The same process is back: the heartbeat says what is true.
  Apply(Hello("llm-1", 2, {Role::kLlm}, {.slots = 10, .kv_blocks = 100}));
  EXPECT_EQ(ReservedOf("llm-1").kv_blocks, 70);
  Beat(2, 1, {leg});
  PassTime(seconds(0), {});
  EXPECT_EQ(ReservedOf("llm-1").kv_blocks, 60);
  EXPECT_TRUE(IsGranted(pending));
  Apply(Hello("llm-1", 3, {Role::kLlm}, {.slots = 10, .kv_blocks = 100}));
  EXPECT_TRUE(closed_.contains(2)) << "one link per worker";
  EXPECT_EQ(ReservedOf("llm-1").kv_blocks, 60);
  // Another incarnation: all of it is gone.
  Apply(LinkLost{3});
  Apply(Hello("llm-1", 4, {Role::kLlm}, {.slots = 10, .kv_blocks = 100}, 77));
  EXPECT_EQ(ReservedOf("llm-1").kv_blocks, 0);
  EXPECT_EQ(core_->Status(clock_.Now()).grants_active, 0);
}

// SIGSTOP and SIGCONT of the scheduler: the workers were there all the time.
TEST_F(SchedulerCoreTest, TimeThatTheCoreDidNotRunIsNobodysSilence) {
  JoinLlm();
  const Ticket first = Ask(60);
  const LegReport leg{{granted_[first].id, Role::kLlm}, {.slots = 1, .kv_blocks = 60}};
  const Ticket pending = Ask(40);
  ASSERT_TRUE(IsGranted(pending));
  clock_.Advance(options_.workers.worker_forget * 2);
  const Ticket ticket = Ask(10);
  Apply(Tick{});
  EXPECT_EQ(ReasonOf(ticket), std::nullopt) << "it waits";
  EXPECT_FALSE(closed_.contains(1));
  EXPECT_EQ(ReservedOf("llm-1").kv_blocks, 100)
      << "legs may have become active meanwhile: no expiry before a heartbeat";
  const Ticket vision = Ask(1, WithImage);
  Apply(Tick{});
  EXPECT_EQ(ReasonOf(vision), std::nullopt) << "the grace of the start: links may have broken";
  Beat(1, 1, {leg});
  Apply(Tick{});
  EXPECT_TRUE(IsGranted(ticket)) << "the other leg has expired by now";
  EXPECT_EQ(ReservedOf("llm-1").kv_blocks, 70);
  PassTime(options_.startup_grace, {1});
  EXPECT_EQ(ReasonOf(vision), RefusalReason::kNoWorker);
  PassTime(options_.workers.worker_lost + milliseconds(1), {});
  EXPECT_EQ(ReasonOf(Ask(1)), RefusalReason::kNoWorker) << "real silence counts as before";
}

TEST_F(SchedulerCoreTest, NameIsHeldWhileItsWorkerIsHeardOf) {
  JoinLlm();
  const Ticket ticket = Ask(60);
  const auto other = [&](LinkId link) {
    Apply(Hello("llm-1", link, {Role::kLlm}, {.slots = 10, .kv_blocks = 100}, 77));
    return closed_.contains(link) ? closed_.at(link).code() : absl::StatusCode::kOk;
  };
  EXPECT_EQ(other(2), absl::StatusCode::kAlreadyExists);
  PassTime(options_.workers.worker_lost, {});
  EXPECT_EQ(other(3), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(core_->epoch(), 1u);
  EXPECT_FALSE(closed_.contains(1));
  EXPECT_EQ(ReservedOf("llm-1").kv_blocks, 60) << "nothing has changed for the one that has the name";
  PassTime(milliseconds(1), {});
  EXPECT_EQ(other(4), absl::StatusCode::kOk) << "silent: its connection may hang for ever";
  EXPECT_TRUE(closed_.contains(1));
  EXPECT_EQ(ReservedOf("llm-1").kv_blocks, 0);
  Apply(LinkLost{4});
  Apply(Hello("llm-1", 5, {Role::kLlm}, {.slots = 10, .kv_blocks = 100}, 78));
  EXPECT_FALSE(closed_.contains(5)) << "gone: a restart waits for nothing";
  EXPECT_TRUE(IsGranted(ticket));
}

TEST_F(SchedulerCoreTest, SilentWorkersAreForgottenInTheEnd) {
  JoinLlm();
  Ask(60);
  PassTime(options_.workers.worker_forget, {});
  EXPECT_EQ(core_->Status(clock_.Now()).workers.size(), 1u);
  PassTime(milliseconds(1), {});
  EXPECT_TRUE(core_->Status(clock_.Now()).workers.empty());
  EXPECT_TRUE(closed_.contains(1));
  EXPECT_EQ(core_->Status(clock_.Now()).grants_pending, 0);
}

TEST_F(SchedulerCoreTest, MissedEventsStopGrantsUntilTheHeartbeat) {
  JoinLlm();
  const LegReport leg{{{1, 2}, Role::kLlm}, {.slots = 1, .kv_blocks = 90}};
  const LegReport other{{{3, 4}, Role::kLlm}, {.slots = 1, .kv_blocks = 5}};
  Apply(LegActivated{1, 2, other});  // number 1 is missing
  EXPECT_FALSE(IsGranted(Ask(20)));
  Beat(1, 1, {leg});  // older than what we know: not the truth any more
  EXPECT_FALSE(IsGranted(Ask(1)));
  Beat(1, 2, {leg, other});
  EXPECT_EQ(ReservedOf("llm-1").kv_blocks, 96);
  EXPECT_FALSE(IsGranted(1));
  EXPECT_TRUE(IsGranted(2));
  Apply(LegActivated{1, 1, leg});  // arrives late: said before
  EXPECT_EQ(ReservedOf("llm-1").kv_blocks, 96);
}

TEST_F(SchedulerCoreTest, EpochIsTheHighestReportedPlusOneAndMustBeAcknowledged) {
  WorkerHello hello = Hello("llm-1", 1, {Role::kLlm}, {.slots = 10, .kv_blocks = 100});
  hello.highest_epoch = 41;
  Apply(hello);
  EXPECT_EQ(core_->epoch(), 42u);
  EXPECT_EQ(epoch_told_[1], 42u);
  Apply(Heartbeat{1, 0, {}, WorkerState::kReady, 1, 41});
  const Ticket ticket = Ask(1);
  EXPECT_FALSE(IsGranted(ticket)) << "the worker could still take grants of epoch 41";
  Apply(Heartbeat{1, 0, {}, WorkerState::kReady, 1, 42});
  ASSERT_TRUE(IsGranted(ticket));
  EXPECT_EQ(granted_[ticket].epoch, 42u);
  // It comes back with the epoch that we told it: no reason for another.
  hello.link = 2;
  hello.highest_epoch = 42;
  Apply(hello);
  EXPECT_EQ(core_->epoch(), 42u);
  // Somebody else leads with 50.
  hello = Hello("llm-9", 9, {Role::kLlm}, {.slots = 1, .kv_blocks = 1});
  hello.highest_epoch = 50;
  Apply(hello);
  EXPECT_EQ(core_->epoch(), 51u);
  EXPECT_EQ(epoch_told_[2], 51u);
  EXPECT_EQ(ReservedOf("llm-1").kv_blocks, 1);
  Beat(2);
  EXPECT_EQ(ReservedOf("llm-1").kv_blocks, 0) << "a pending leg of epoch 42 can never become active now";
  EXPECT_FALSE(std::get<Renewed>(Apply(Renew{5, granted_[ticket].id, 42})[0]).known);
}

TEST_F(SchedulerCoreTest, BadMessagesCloseTheLink) {
  WorkerHello hello = Hello("llm-1", 1, {Role::kLlm}, {.slots = -1});
  Apply(hello);
  EXPECT_EQ(closed_[1].code(), absl::StatusCode::kInvalidArgument);
  hello = Hello("llm-1", 2, {Role::kLlm}, {.slots = 1});
  hello.cluster_id = "other";
  Apply(hello);
  EXPECT_EQ(closed_[2].code(), absl::StatusCode::kFailedPrecondition);
  Apply(LegSettled{3, 1, {{1, 1}, Role::kLlm}});
  EXPECT_EQ(closed_[3].code(), absl::StatusCode::kFailedPrecondition) << "no hello";
  JoinLlm(4);
  Apply(LegActivated{4, 1, {{{1, 1}, Role::kLlm}, {.slots = kDimensionMax + 1}}});
  EXPECT_EQ(closed_[4].code(), absl::StatusCode::kInvalidArgument);
  JoinLlm(5);
  const LegReport leg{{{1, 1}, Role::kLlm}, {.slots = 1}};
  Beat(5, 0, {leg, leg});
  EXPECT_EQ(closed_[5].code(), absl::StatusCode::kInvalidArgument) << "a leg listed twice";
}

// There is no epoch after the last one: a worker that names it must not end the cluster.
TEST_F(SchedulerCoreTest, LastEpochIsRefused) {
  WorkerHello hello = Hello("llm-1", 1, {Role::kLlm}, {.slots = 1});
  hello.highest_epoch = UINT64_MAX;
  Apply(hello);
  EXPECT_EQ(closed_[1].code(), absl::StatusCode::kInvalidArgument);
  JoinLlm(2);
  Apply(Heartbeat{2, 0, {}, WorkerState::kReady, 1, UINT64_MAX});
  EXPECT_EQ(closed_[2].code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(core_->epoch(), 1u);
  JoinLlm(3);
  EXPECT_TRUE(IsGranted(Ask(1)));
}

TEST_F(SchedulerCoreTest, WorkersAreBounded) {
  options_.workers.workers_max = 2;
  Restart();
  JoinLlm(1);
  JoinLlm(2);
  Apply(Hello("llm-3", 3, {Role::kLlm}, {.slots = 1}));
  EXPECT_EQ(closed_[3].code(), absl::StatusCode::kResourceExhausted);
  EXPECT_FALSE(closed_.contains(1) || closed_.contains(2));
}

TEST_F(SchedulerCoreTest, CanAdmitReservesNothing) {
  JoinLlm();
  Ask(60);
  Price price;
  price.llm = Resources{.slots = 1, .kv_blocks = 50};
  price.sequence_tokens = 10;
  auto answer = core_->CanAdmit(kModel, price, clock_.Now());
  ASSERT_TRUE(answer.ok());
  EXPECT_TRUE(answer->fits_ever);
  EXPECT_FALSE(answer->fits_now);
  ASSERT_EQ(answer->shortfalls.size(), 1u);
  EXPECT_EQ(answer->shortfalls[0].needed - answer->shortfalls[0].free, 10);
  price.llm->kv_blocks = 40;
  EXPECT_TRUE(core_->CanAdmit(kModel, price, clock_.Now())->fits_now);
  EXPECT_TRUE(core_->CanAdmit(kModel, price, clock_.Now())->fits_now);
  price.llm->kv_blocks = 101;
  EXPECT_FALSE(core_->CanAdmit(kModel, price, clock_.Now())->fits_ever);
  EXPECT_FALSE(core_->CanAdmit(kModel, {}, clock_.Now()).ok());
}

}  // namespace
}  // namespace headroom::admission
