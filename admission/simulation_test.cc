// The scheduler core and several worker gates in a discrete-event world with a fake clock: messages take time and links
// break, workers and the scheduler restart, gateways vanish, replay and dawdle. After every event the invariants of the
// protocol are checked (ARCHITECTURE.md, "Admission"); a failure prints the seed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <set>
#include <tuple>

#include "admission/scheduler_core.h"
#include "admission/testing/simulation_parts.h"
#include "common/testing/fake_clock.h"
#include "common/testing/seeded_random.h"

namespace headroom::admission {
namespace {

using simulation::CapacityOf;
using simulation::Due;
using simulation::Faults;
using simulation::kAll;
using simulation::kCluster;
using simulation::kModel;
using simulation::kOtherModel;
using simulation::Outcome;
using simulation::Request;
using simulation::SimWorker;
using simulation::SomePrice;
using simulation::Timeline;

class World : private Timeline {
 public:
  World(uint64_t seed, Faults faults, bool two_models) : random_(seed), faults_(faults), two_models_(two_models) {
    StartScheduler();
    AddWorker("vision-0", {Role::kVision});
    AddWorker("vision-1", {Role::kVision});
    AddWorker("llm-0", {Role::kLlm});
    AddWorker("llm-1", {Role::kLlm});
    AddWorker("both-0", {Role::kVision, Role::kLlm});
    if (two_models) {
      AddWorker("other-0", {Role::kVision, Role::kLlm}, kOtherModel);
      AddWorker("other-llm", {Role::kLlm}, kOtherModel);
    }
    for (auto& [name, worker] : workers_) StartWorker(worker);
    Every(milliseconds(100), [this] { Tell(Tick{}); });
  }

  ~World() {
    for (auto& [id, request] : requests_) request.legs.clear();
  }

  // Requests and faults until so many events have passed, then quiet, then all must be zero.
  Outcome Run(int64_t events) {
    Every(milliseconds(4), [this] {
      if (busy_ && requests_.size() < 80) NewRequest();
    });
    Every(milliseconds(150), [this] {
      if (busy_) Fault();
    });
    while (outcome_.events < events && Step()) {
    }
    busy_ = false;
    const TimePoint quiet_at = clock_.Now() + std::chrono::seconds(120);
    while (clock_.Now() < quiet_at && Step()) {
    }
    CheckQuiet();
    return outcome_;
  }

 private:
  // ---- time

  bool Step() {
    if (due_.empty() || testing::Test::HasFailure()) return false;
    const Due due = due_.top();
    due_.pop();
    clock_.Advance(due.at - clock_.Now());
    due.action();
    CheckInvariants();
    return true;
  }
  Duration Transit() { return std::chrono::microseconds(50 + random_.Below(random_.Below(20) == 0 ? 200'000 : 5'000)); }
  bool Chance(int one_in) { return random_.Below(static_cast<uint64_t>(one_in)) == 0; }

  // ---- scheduler

  void StartScheduler() {
    ++boots_;
    SchedulerCore::Options options;
    options.workers.cluster_id = kCluster;
    options.workers.worker_lost = milliseconds(2'000);
    options.queue.entries_max = 40;
    options.grant_ttl = milliseconds(3'000);
    options.wait_max = milliseconds(20'000);
    options.overtakes_max = 8;
    core_ = std::make_unique<SchedulerCore>(options, random_, clock_.Now());
  }

  void RestartScheduler() {
    StartScheduler();
    for (auto& [name, worker] : workers_) BreakLink(worker, /*scheduler_knows=*/true);
    // Calls that waited break with the process.
    std::vector<uint64_t> waiting;
    for (auto& [id, request] : requests_) {
      if (request.answers == 0) waiting.push_back(id);
    }
    for (uint64_t id : waiting) End(id, &outcome_.failed);
  }

  void Tell(const Event& event) {
    ++outcome_.events;
    for (Action& action : core_->Apply(event, clock_.Now())) {
      std::visit([this](auto& kind) { Do(kind); }, action);
    }
  }

  void Do(Granted& granted) {
    ++outcome_.granted;
    const Ticket id = granted.ticket;
    if (!requests_.contains(id)) return;  // it left, and its Void is on the way
    Request& request = requests_.at(id);
    ASSERT_EQ(++request.answers, 1);
    ASSERT_EQ(granted.grant.id, request.grant);
    // All or nothing.
    ASSERT_EQ(granted.grant.legs.size(), (request.price.vision ? 1u : 0u) + (request.price.llm ? 1u : 0u));
    for (const Leg& leg : granted.grant.legs) {
      ASSERT_EQ(leg.resources, *request.price.ForRole(leg.role));
      ASSERT_EQ(workers_.at(leg.worker).model, request.model);
    }
    if (request.model == kOtherModel) ++outcome_.of_other_model;
    After(Transit(), [this, id, grant = granted.grant] { OnGrant(id, grant); });
  }

  void Do(Refused& refused) {
    ASSERT_FALSE(refused.refusal.message.empty());
    ASSERT_EQ(refused.refusal.retry_delay.count() > 0, InfoOf(refused.refusal.reason).retry);
    ++outcome_.refused;
    if (refused.refusal.reason == RefusalReason::kVoided) ++outcome_.voided_early;
    const Ticket id = refused.ticket;
    if (!requests_.contains(id)) return;
    ASSERT_EQ(++requests_.at(id).answers, 1);
    After(Transit(), [this, id] { End(id, &outcome_.failed); });
  }

  void Do(Renewed& renewed) { renewed_ = renewed; }

  void Do(Release& release) {
    for (auto& named : workers_) {
      SimWorker& worker = named.second;
      if (worker.link != release.link) continue;
      const uint64_t incarnation = worker.gate->options().incarnation;
      // Behind the greeting, as on a stream.
      worker.out_of = std::max(worker.out_of, clock_.Now() + Transit());
      After(worker.out_of - clock_.Now(), [&worker, link = release.link, incarnation] {
        if (worker.link == link && worker.gate->options().incarnation == incarnation) worker.released = true;
      });
    }
  }

  void Do(Greet& greet) {
    for (auto& named : workers_) {
      SimWorker& worker = named.second;
      if (worker.link != greet.link) continue;
      const uint64_t incarnation = worker.gate->options().incarnation;
      worker.out_of = std::max(worker.out_of, clock_.Now() + Transit());
      After(worker.out_of - clock_.Now(), [this, &worker, link = greet.link, epoch = greet.epoch, incarnation] {
        if (worker.link != link || worker.gate->options().incarnation != incarnation) return;
        worker.gate->ObserveEpoch(kCluster, epoch);
        SendHeartbeat(worker);
      });
    }
  }

  void Do(CloseLink& close) {
    for (auto& [name, worker] : workers_)
      if (worker.link == close.link) BreakLink(worker, /*scheduler_knows=*/true);
  }

  // ---- workers

  void AddWorker(const std::string& name, const std::vector<Role>& roles, const std::string& model = kModel) {
    SimWorker& worker = workers_[name];
    worker.name = name;
    worker.model = model;
    worker.roles = roles;
    worker.capacity = CapacityOf(roles);
    Every(milliseconds(500), [this, &worker] { SendHeartbeat(worker); });
  }

  void StartWorker(SimWorker& worker) {
    worker.gate = std::make_unique<WorkerGate>(WorkerGate::Options{.worker = worker.name,
                                                                   .cluster_id = kCluster,
                                                                   .model = worker.model,
                                                                   .incarnation = random_.Next() | 1,
                                                                   .capacity = worker.capacity,
                                                                   .settled_memory = milliseconds(8'000)},
                                               clock_);
    worker.epoch_seen = 0;
    worker.released = false;
    worker.opened.clear();
    worker.closed.clear();
    worker.gate->SetListener([this, &worker](const GateEvent& event) { OnGateEvent(worker, event); });
    Dial(worker);
    After(milliseconds(random_.Below(3'000)), [&worker, incarnation = worker.gate->options().incarnation] {
      const bool loads = worker.gate->Snapshot().state == WorkerState::kLoading;
      if (loads && worker.gate->options().incarnation == incarnation) worker.gate->SetState(WorkerState::kReady, 1);
    });
  }

  void CrashWorker(SimWorker& worker) {
    BreakLink(worker, false);
    worker.gate->SetListener({});
    std::vector<uint64_t> lost;
    for (auto& [id, request] : requests_) {
      for (auto& [role, name] : request.workers) {
        if (name == worker.name) lost.push_back(id);
      }
    }
    // Legs of the dead process end with it and nobody hears of that.
    for (uint64_t id : std::set<uint64_t>(lost.begin(), lost.end())) {
      Request& request = requests_.at(id);
      std::erase_if(request.legs, [&](const auto& leg) { return request.workers.at(leg.first) == worker.name; });
      End(id, &outcome_.failed);
    }
    StartWorker(worker);
  }

  // It takes nothing new, lets what runs end, and restarts.
  void DrainWorker(SimWorker& worker) {
    worker.gate->SetState(WorkerState::kDraining, 1);
    After(milliseconds(3'000), [this, &worker, incarnation = worker.gate->options().incarnation] {
      if (worker.gate->options().incarnation != incarnation) return;
      outcome_.released += worker.released ? 1 : 0;
      CrashWorker(worker);
    });
  }

  void OnGateEvent(SimWorker& worker, const GateEvent& event) {
    if (event.kind == GateEvent::Kind::kActivated) {
      ASSERT_EQ(++worker.opened[event.leg], 1);
      ASSERT_TRUE(!worker.released || faults_.replays) << "released, and yet a grant came to " << worker.name;
      unheard_.insert(event.leg.id);
    }
    if (event.kind == GateEvent::Kind::kSettled) {
      ASSERT_EQ(++worker.closed[event.leg], 1) << "I3: settles exactly once";
      ASSERT_EQ(worker.opened[event.leg], 1);
    }
    if (worker.link == 0 || (faults_.messages_lost && Chance(20))) return;
    const LinkId link = worker.link;
    if (event.kind == GateEvent::Kind::kActivated) {
      Send(worker, LegActivated{link, event.number, {event.leg, event.resources}});
    } else if (event.kind == GateEvent::Kind::kSettled) {
      Send(worker, LegSettled{link, event.number, event.leg});
    } else {
      Send(worker, StateChanged{link, event.number, event.state, event.load_progress});
    }
  }

  // In order on one link; lost with it.
  void Send(SimWorker& worker, Event event) {
    worker.in_order = std::max(worker.in_order, clock_.Now() + Transit());
    After(worker.in_order - clock_.Now(), [this, link = worker.link, event = std::move(event)] {
      if (!open_links_.contains(link)) return;
      if (const auto* activated = std::get_if<LegActivated>(&event)) unheard_.erase(activated->report.leg.id);
      Tell(event);
    });
  }

  void SendHeartbeat(SimWorker& worker) {
    if (worker.link == 0) return;
    const GateSnapshot snapshot = worker.gate->Snapshot();
    Heartbeat heartbeat{worker.link,    snapshot.last_event,    {},
                        snapshot.state, snapshot.load_progress, snapshot.highest_epoch};
    for (const auto& entry : snapshot.active) heartbeat.active.push_back({entry.leg, entry.resources});
    Send(worker, std::move(heartbeat));
  }

  void Dial(SimWorker& worker) {
    worker.link = ++last_link_;
    worker.in_order = clock_.Now();
    open_links_.insert(worker.link);
    const GateSnapshot snapshot = worker.gate->Snapshot();
    WorkerHello hello;
    hello.link = worker.link;
    hello.cluster_id = kCluster;
    hello.incarnation = worker.gate->options().incarnation;
    hello.info = {worker.name, "inproc:" + worker.name, "cpu", worker.model, worker.roles, worker.capacity, 4096, 4096,
                  16};
    hello.state = snapshot.state;
    hello.highest_epoch = snapshot.highest_epoch;
    Send(worker, std::move(hello));
    SendHeartbeat(worker);
  }

  // What is on its way is lost. The scheduler notices later, perhaps after the next hello.
  void BreakLink(SimWorker& worker, bool scheduler_knows) {
    if (worker.link == 0) return;
    const LinkId link = worker.link;
    worker.link = 0;
    open_links_.erase(link);
    if (!scheduler_knows) After(Transit() + Transit(), [this, link] { Tell(LinkLost{link}); });
    After(milliseconds(random_.Below(800)), [this, &worker] {
      if (worker.link == 0) Dial(worker);
    });
  }

  // ---- gateways

  void NewRequest() {
    const Ticket id = ++last_request_;
    Request& request = requests_[id];
    request.grant = {random_.Next(), random_.Next()};
    request.vanishes = faults_.gateways_vanish && Chance(12);
    request.model = two_models_ && Chance(2) ? kOtherModel : kModel;
    request.price = SomePrice(random_);
    Reserve reserve;
    reserve.ticket = id;
    reserve.tenant = absl::StrCat("tenant-", random_.Below(4));
    reserve.priority = static_cast<int32_t>(random_.Below(3)) - 1;
    reserve.model = request.model;
    reserve.price = request.price;
    reserve.wait_max = milliseconds(1 + random_.Below(10'000));
    reserve.grant = request.grant;
    After(Transit(), [this, reserve, boot = boots_] {
      if (boot == boots_) Tell(reserve);
    });
    // It leaves at any moment: while its Reserve or the answer is on the way, too. Some connections say so.
    if (!request.vanishes && Chance(6)) {
      After(Transit() * 2, [this, id] {
        if (!requests_.contains(id) || requests_.at(id).holder) return;
        if (Chance(2)) Tell(CancelReserve{id});
        End(id, &outcome_.cancelled);
      });
    }
  }

  void OnGrant(uint64_t id, const Grant& grant) {
    if (!requests_.contains(id)) return;
    Request& request = requests_.at(id);
    request.holder = std::make_unique<GrantHolder>(grant, clock_.Now());
    KeepRenewed(id);
    const Role first = request.price.vision ? Role::kVision : Role::kLlm;
    const bool dies_now = request.vanishes && Chance(2);
    After(Transit(), [this, id, first, dies_now] { dies_now ? End(id, &outcome_.failed) : Activate(id, first); });
  }

  void KeepRenewed(uint64_t id) {
    const Request& request = requests_.at(id);
    if (request.holder->RenewAt() == TimePoint::max() || request.vanishes) return;
    After(request.holder->RenewAt() - clock_.Now(), [this, id] {
      auto found = requests_.find(id);
      if (found == requests_.end() || found->second.holder->RenewAt() > clock_.Now()) return;
      GrantHolder& holder = *found->second.holder;
      const TimePoint sent_at = clock_.Now();
      Tell(Renew{id, holder.grant().id, holder.grant().epoch});
      if (!renewed_.known) {
        End(id, &outcome_.failed);
        return;
      }
      holder.Renewed(sent_at, renewed_.ttl);
      KeepRenewed(id);
    });
  }

  void Activate(uint64_t id, Role role) {
    if (!requests_.contains(id)) return;
    Request& request = requests_.at(id);
    const bool replay = faults_.replays && Chance(10);
    if (request.holder->Expired(clock_.Now()) && !replay) return End(id, &outcome_.failed);
    const Grant grant = request.holder->Forward(clock_.Now());
    SimWorker& worker = workers_.at(grant.Find(role)->worker);
    ++outcome_.events;
    const TimePoint received_at = clock_.Now();
    auto leg = worker.gate->Activate(grant, role, received_at);
    if (!leg.ok()) {
      if (absl::IsAborted(leg.status())) ++outcome_.stale;
      if (absl::IsResourceExhausted(leg.status())) ++outcome_.no_room;
      ASSERT_TRUE(absl::IsAborted(leg.status()) || absl::IsResourceExhausted(leg.status()) ||
                  absl::IsUnavailable(leg.status()))
          << leg.status();
      return End(id, &outcome_.failed);
    }
    request.workers[role] = worker.name;
    ASSERT_TRUE(leg->AddUsed(Resources{.slots = 1}).ok());
    ASSERT_FALSE(leg->AddUsed(Resources{.slots = 1'000}).ok());
    request.legs[role] = std::move(*leg);
    request.holder->MarkActivated(role);
    if (replay) {
      ASSERT_TRUE(absl::IsAlreadyExists(worker.gate->Activate(grant, role, received_at).status()) ||
                  grant.ttl.count() == 0);
    }
    if (role == Role::kVision) {
      // Encoding may take longer than the grant lives: it is renewed meanwhile.
      After(milliseconds(random_.Below(Chance(10) ? 8'000 : 300)), [this, id] { Activate(id, Role::kLlm); });
      return;
    }
    After(milliseconds(random_.Below(1'500)), [this, id] { End(id, &outcome_.done); });
  }

  // The only way out (I6).
  void End(uint64_t id, int64_t* counter) {
    auto found = requests_.find(id);
    if (found == requests_.end()) return;
    Request request = std::move(found->second);
    requests_.erase(found);
    ++*counter;
    if ((!request.holder || request.holder->NeedsVoid()) && !request.vanishes) {
      ++voids_under_way_;
      After(Transit(), [this, grant = request.grant] {
        --voids_under_way_;
        Tell(Void{grant});
      });
    }
    if (faults_.replays && request.holder && Chance(8)) ReplayLater(request.holder->grant());
    outcome_.events += static_cast<int64_t>(request.legs.size());
  }

  // A grant of a request that is over, in every hand that should not have it.
  void ReplayLater(const Grant& grant) {
    const milliseconds delay(random_.Below(7'000));
    for (const Leg& leg : grant.legs) {
      After(delay, [this, grant, leg, received_at = clock_.Now()] {
        // As if the message had lain there since: expired, used, or (never activated) still good, then settled at once.
        ++outcome_.events;
        auto late = workers_.at(leg.worker).gate->Activate(grant, leg.role, received_at);
      });
    }
  }

  void Fault() {
    auto victim = std::next(workers_.begin(), static_cast<int64_t>(random_.Below(workers_.size())));
    if (faults_.links_break && Chance(2)) BreakLink(victim->second, false);
    if (faults_.workers_restart && Chance(8)) CrashWorker(victim->second);
    if (faults_.workers_restart && Chance(8)) DrainWorker(victim->second);
    if (faults_.scheduler_restarts && Chance(30)) RestartScheduler();
  }

  // ---- checks

  void CheckInvariants() {
    std::map<std::string, Resources> held;
    for (const auto& [id, request] : requests_) {
      for (const auto& [role, leg] : request.legs) held[request.workers.at(role)] += leg.resources();
    }
    for (auto& [name, worker] : workers_) {
      const GateSnapshot snapshot = worker.gate->Snapshot();
      ASSERT_TRUE(Fits(snapshot.reserved, worker.capacity)) << "I1 at " << name;
      ASSERT_EQ(snapshot.reserved, held[name]) << name;
      for (const auto& entry : snapshot.active) ASSERT_TRUE(Fits(entry.used, entry.resources)) << "I2 at " << name;
      ASSERT_GE(snapshot.highest_epoch, worker.epoch_seen) << "I5 at " << name;
      worker.epoch_seen = snapshot.highest_epoch;
    }
    for (const auto& [name, worker] : core_->table().workers()) {
      Resources active, pending, remembered;
      for (const auto& [leg, resources] : worker.active) active += resources;
      for (const auto& [leg, resources] : worker.pending) pending += resources;
      ASSERT_EQ(active, worker.active_sum);
      ASSERT_EQ(pending, worker.pending_sum);
      for (const PastWorker& past : core_->history().At(clock_.Now(), name, 1'000)) {
        for (const PastLeg& leg : past.legs) remembered += leg.resources;
      }
      ASSERT_EQ(remembered, active + pending) << "the history of " << name;
      ASSERT_TRUE(Fits(pending, worker.info.capacity)) << "promised more than there is at " << name;
      ASSERT_FALSE(worker.released && !worker.pending.empty()) << "granted after its release: " << name;
      CheckPlanKnows(worker);
    }
    CheckNobodysGrants();
  }

  // A grant is promised to a request, or its Void is on the way, or it was used and the worker could not say so: no
  // other waits for its expiry.
  void CheckNobodysGrants() {
    if (faults_.gateways_vanish || faults_.replays || faults_.messages_lost) return;
    const size_t owned = requests_.size() + voids_under_way_;
    if (core_->table().pending_grants() <= owned) return;
    std::erase_if(unheard_, [this](const GrantId& id) { return !core_->table().Knows(id); });
    ASSERT_LE(core_->table().pending_grants(), owned + unheard_.size());
  }

  // Where nobody cheats and no message of an open link is lost, a worker that may get grants has no leg that the plan
  // does not count: neither a broken link nor a restart on either side makes it forget one.
  void CheckPlanKnows(const Worker& worker) {
    if (faults_.messages_lost || faults_.gateways_vanish || faults_.replays) return;
    const WorkerGate& gate = *workers_.at(worker.info.worker).gate;
    if (gate.options().incarnation != worker.incarnation) return;
    if (!core_->table().Placeable(worker, clock_.Now(), core_->epoch())) return;
    for (const auto& entry : gate.Snapshot().active) {
      ASSERT_TRUE(worker.active.contains(entry.leg) || worker.pending.contains(entry.leg)) << worker.info.worker;
    }
  }

  void CheckQuiet() {
    if (testing::Test::HasFailure()) return;
    EXPECT_TRUE(requests_.empty()) << "I6: " << requests_.size() << " requests never ended";
    for (auto& [name, worker] : workers_) {
      EXPECT_EQ(worker.gate->Snapshot().reserved, Resources{}) << "I4 at " << name;
      EXPECT_EQ(worker.opened.size(), worker.closed.size()) << "I3 at " << name;
    }
    const ClusterStatus status = core_->Status(clock_.Now());
    EXPECT_EQ(status.workers.size(), workers_.size());
    for (const WorkerStatus& worker : status.workers) {
      EXPECT_EQ(worker.reserved, Resources{}) << "I4 in the plan, " << worker.info.worker;
      EXPECT_TRUE(worker.placeable) << worker.info.worker;
    }
    EXPECT_EQ(status.grants_pending, 0);
    EXPECT_EQ(status.grants_active, 0);
    EXPECT_EQ(status.queue_entries, 0);
  }

  SeededRandom random_;
  const Faults faults_;
  const bool two_models_;
  bool busy_ = true;
  Outcome outcome_;
  std::unique_ptr<SchedulerCore> core_;
  std::map<std::string, SimWorker> workers_;
  std::set<LinkId> open_links_;
  std::map<Ticket, Request> requests_;
  Renewed renewed_;
  LinkId last_link_ = 0;
  Ticket last_request_ = 0;
  int boots_ = 0;  // of the scheduler
  size_t voids_under_way_ = 0;
  std::set<GrantId> unheard_;  // activated, which the scheduler was not told (yet, or for ever)
};

Outcome Simulate(uint64_t seed, Faults faults, int64_t events, bool two_models = false) {
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  World world(seed, faults, two_models);
  const Outcome outcome = world.Run(events);
  EXPECT_GE(outcome.events, events);
  EXPECT_GT(outcome.done, 0);
  EXPECT_GT(outcome.refused, 0) << "the load must be above what fits";
  return outcome;
}

// Nothing breaks, so the plan must be exact: no worker ever refuses what the scheduler granted, however late messages
// are.
TEST(SimulationTest, WithoutFaultsNoGrantIsEverRefused) {
  const uint64_t seed = TestSeed();
  const Outcome outcome = Simulate(seed, {}, 30'000);
  EXPECT_EQ(outcome.no_room, 0) << "seed " << seed;
  EXPECT_EQ(outcome.stale, 0) << "seed " << seed;
  EXPECT_GT(outcome.voided_early, 0) << "no Void overtook its Reserve";
}

// Two models: a grant's workers all serve its model, the promise is as exact, and both get their turns.
TEST(SimulationTest, TwoModelsShareTheSchedulerAlone) {
  const uint64_t seed = TestSeed();
  const Outcome outcome = Simulate(seed, {}, 30'000, /*two_models=*/true);
  EXPECT_EQ(outcome.no_room, 0) << "seed " << seed;
  EXPECT_EQ(outcome.stale, 0) << "seed " << seed;
  EXPECT_GT(outcome.of_other_model, outcome.granted / 10) << "seed " << seed;
  EXPECT_LT(outcome.of_other_model, outcome.granted * 9 / 10) << "seed " << seed;
}

TEST(SimulationTest, TwoModelsWithEverythingAtOnce) { Simulate(TestSeed(), kAll, 60'000, /*two_models=*/true); }

// A run tries a rare thing a few times, or by chance not at all: then another one has to.
template <typename Tried>
void SimulateUntil(const char* what, Faults faults, int64_t events, Tried tried) {
  constexpr int kRuns = 10;
  for (int run = 0; run < kRuns && !testing::Test::HasFailure(); ++run) {
    if (tried(Simulate(TestSeed(), faults, events))) return;
  }
  ADD_FAILURE() << "never tried: " << what;
}

TEST(SimulationTest, RestartsAndBrokenLinksForgetNoLeg) {
  SimulateUntil("fences, and a drain to its end",
                {.links_break = true, .workers_restart = true, .scheduler_restarts = true}, 90'000,
                [](const Outcome& outcome) { return outcome.stale > 0 && outcome.released > 0; });
}

TEST(SimulationTest, BreakingLinksAndLostMessagesHeal) {
  Simulate(TestSeed(), {.links_break = true, .messages_lost = true}, 30'000);
}

TEST(SimulationTest, GatewaysThatVanishLeaveNothingBehind) {
  const Outcome outcome = Simulate(TestSeed(), {.gateways_vanish = true, .replays = true}, 30'000);
  EXPECT_GT(outcome.granted, outcome.done) << "gateways died holding grants";
}

TEST(SimulationTest, EverythingAtOnce) {
  SimulateUntil("fences", kAll, 120'000, [](const Outcome& outcome) { return outcome.stale > 0; });
}

// The same seed gives the same run: a failure can be replayed.
TEST(SimulationTest, IsDeterministic) {
  const Outcome a = Simulate(7, kAll, 10'000);
  const Outcome b = Simulate(7, kAll, 10'000);
  EXPECT_EQ(std::tie(a.done, a.granted, a.failed, a.events), std::tie(b.done, b.granted, b.failed, b.events));
}

}  // namespace
}  // namespace headroom::admission
