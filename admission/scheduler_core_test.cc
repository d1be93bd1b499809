#include "admission/scheduler_core.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <set>

#include "common/random.h"

namespace headroom::admission {
namespace {

using std::chrono::seconds;

constexpr char kModel[] = "m";

// One core, workers that say exactly what a test wants.
class SchedulerCoreTest : public testing::Test {
 protected:
  SchedulerCoreTest() { Restart(); }

  void Restart() {
    options_.workers.cluster_id = "c";
    core_ = std::make_unique<SchedulerCore>(options_, random_, clock_.Now());
  }

  std::vector<Action> Apply(const Event& event) {
    std::vector<Action> actions = core_->Apply(event, clock_.Now());
    for (const Action& action : actions) {
      if (const auto* granted = std::get_if<Granted>(&action)) granted_[granted->ticket] = granted->grant;
      if (const auto* refused = std::get_if<Refused>(&action)) refused_[refused->ticket] = refused->refusal;
      if (const auto* greet = std::get_if<Greet>(&action)) epoch_told_[greet->link] = greet->epoch;
      if (const auto* close = std::get_if<CloseLink>(&action)) closed_[close->link] = close->status;
    }
    return actions;
  }

  static WorkerHello Hello(const std::string& name, LinkId link, std::vector<Role> roles, const Resources& capacity,
                           uint64_t incarnation = 1) {
    WorkerHello hello;
    hello.link = link;
    hello.cluster_id = "c";
    hello.incarnation = incarnation;
    hello.info = {name, "10.0.0.1:" + std::to_string(link), "cpu", kModel, std::move(roles), capacity, 1024, 1000, 16};
    hello.state = WorkerState::kReady;
    return hello;
  }

  void Beat(LinkId link, uint64_t last_event = 0, std::vector<LegReport> active = {},
            WorkerState state = WorkerState::kReady) {
    Apply(Heartbeat{link, last_event, std::move(active), state, 1, core_->epoch()});
  }

  // A worker in step with the core.
  void Join(const std::string& name, LinkId link, std::vector<Role> roles, const Resources& capacity,
            uint64_t incarnation = 1) {
    Apply(Hello(name, link, std::move(roles), capacity, incarnation));
    Beat(link);
  }
  void JoinLlm(LinkId link = 1, int64_t blocks = 100) {
    Join("llm-" + std::to_string(link), link, {Role::kLlm}, {.slots = 10, .kv_blocks = blocks});
  }

  Ticket Ask(int64_t blocks, const std::function<void(Reserve&)>& change = {}) {
    Reserve reserve;
    reserve.ticket = ++last_ticket_;
    reserve.tenant = "t";
    reserve.model = kModel;
    reserve.price.llm = Resources{.slots = 1, .kv_blocks = blocks};
    reserve.price.sequence_tokens = 10;
    if (change) change(reserve);
    Apply(reserve);
    return reserve.ticket;
  }
  static void WithImage(Reserve& reserve) {
    reserve.price.vision = Resources{.slots = 1, .patches = 1024};
    reserve.price.largest_piece_patches = 1024;
  }

  // In steps, because the core takes a long one for a stop of its own.
  void PassTime(milliseconds time, const std::vector<LinkId>& beating = {1}) {
    do {
      const milliseconds step = std::min<milliseconds>(time, seconds(1));
      clock_.Advance(step);
      for (LinkId link : beating) {
        if (const Worker* worker = const_cast<WorkerTable&>(core_->table()).Find(link)) Beat(link, worker->last_event);
      }
      Apply(Tick{});
      time -= step;
    } while (time.count() > 0);
  }

  bool IsGranted(Ticket ticket) const { return granted_.contains(ticket); }
  // Empty when it was not refused.
  std::optional<RefusalReason> ReasonOf(Ticket ticket) const {
    if (!refused_.contains(ticket)) return std::nullopt;
    return refused_.at(ticket).reason;
  }
  Resources ReservedOf(const std::string& worker) const {
    for (const WorkerStatus& status : core_->Status(clock_now_()).workers) {
      if (status.info.worker == worker) return status.reserved;
    }
    return {};
  }
  std::function<TimePoint()> clock_now_ = [this] { return clock_.Now(); };

  FakeClock clock_;
  SeededRandom random_{1};
  SchedulerCore::Options options_;
  std::unique_ptr<SchedulerCore> core_;
  Ticket last_ticket_ = 0;
  std::map<Ticket, Grant> granted_;
  std::map<Ticket, Refusal> refused_;
  std::map<LinkId, uint64_t> epoch_told_;
  std::map<LinkId, absl::Status> closed_;
};

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
  for (uint64_t used : {1, 2}) EXPECT_EQ(refused_.at(Ask(1, named(used))).reason, RefusalReason::kInvalidReserve) << used;
  Apply(Void{{9, 2}});
  EXPECT_EQ(refused_.at(waiting).reason, RefusalReason::kVoided);
  EXPECT_EQ(refused_.at(waiting).code(), absl::StatusCode::kCancelled);
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
  EXPECT_EQ(refused_[large].code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(refused_[large].shortfall->budget, "kv_blocks");
  EXPECT_EQ(refused_[large].shortfall->needed, 121);
  EXPECT_EQ(refused_[large].shortfall->capacity, 120) << "the worker that is short of the least";
  EXPECT_TRUE(IsGranted(Ask(120)));

  const Ticket long_one = Ask(1, [](Reserve& reserve) { reserve.price.sequence_tokens = 1001; });
  EXPECT_EQ(ReasonOf(long_one), RefusalReason::kModelLimit);
  EXPECT_EQ(refused_[long_one].code(), absl::StatusCode::kInvalidArgument);
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
  EXPECT_EQ(refused_[fourth].code(), absl::StatusCode::kResourceExhausted);
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
  EXPECT_EQ(refused_[ticket].code(), absl::StatusCode::kDeadlineExceeded);
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

TEST_F(SchedulerCoreTest, DrainRefusesAll) {
  JoinLlm();
  Ask(100);
  const Ticket waiting = Ask(1);
  Apply(Drain{});
  EXPECT_EQ(ReasonOf(waiting), RefusalReason::kDraining);
  EXPECT_EQ(ReasonOf(Ask(1)), RefusalReason::kDraining);
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
