// The scheduler's decisions as a pure state machine: (event, now) → actions. No threads, no gRPC, no clock of its own;
// the only chance is in grant ids. Policy `guaranteed`: the whole price is reserved before any work, and nothing is
// preempted.
//
// A Reserve is granted all legs at once, or refused with a reason (common/refusal_reason.h) and holds none. What is
// impossible is refused at once, and what becomes impossible while it waits at the next tick. Loading workers count:
// requests wait for them. For `startup_grace` after the core's start requests also wait for workers that it has not met
// yet, so that a scheduler's restart refuses nobody. A core that was stopped for longer than a worker may be
// silent (a process that was suspended, a machine that swapped) starts again in that sense: silence that it could not
// have heard counts for nobody.
//
// Waiting requests are served in the order of FairQueue. One that does not fit lets later ones pass, at most
// `overtakes_max` times; from then on it protects the roles that it is short of: nobody behind it takes room there (of
// the same model), so it cannot starve. A role once protected stays so until it is served. Requests for different
// models have no worker in common, so neither waits for the other: each has its own turns, its share of the queue and
// its own pace, by which retry delays are told.
//
// Epochs without an election service: the highest that any worker reports + 1. Every worker must acknowledge it before
// it gets a grant of it.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "admission/history.h"
#include "admission/refusals.h"
#include "admission/scheduler_events.h"
#include "admission/worker_pools.h"
#include "admission/worker_table.h"
#include "common/random.h"

namespace headroom::admission {

struct WorkerStatus {
  WorkerInfo info;
  uint64_t incarnation = 0;
  WorkerState state = WorkerState::kLoading;
  double load_progress = 0;
  bool linked = false;
  bool placeable = false;
  Resources reserved;  // active as last reported, plus pending
  int64_t active_legs = 0;
  int64_t pending_legs = 0;
  milliseconds silent{0};
};

struct ClusterStatus {
  uint64_t epoch = 0;
  std::vector<WorkerStatus> workers;
  int64_t queue_entries = 0;
  int64_t queue_entries_max = 0;
  int64_t grants_pending = 0;  // at least one leg pending
  int64_t grants_active = 0;   // at least one leg active
};

struct AdmitAnswer {
  bool fits_ever = false;
  bool fits_now = false;
  std::vector<Shortfall> shortfalls;  // of the least short worker of each role that is short
};

class SchedulerCore {
 public:
  struct Options {
    WorkerTable::Options workers;
    FairQueue::Options queue;
    History::Options history;
    size_t refusals_bytes_max = size_t{1} << 20;
    milliseconds grant_ttl{10'000};
    milliseconds round_trip{1'000};  // longest trip of a message that the protocol allows for
    milliseconds wait_max{600'000};  // of any request
    milliseconds startup_grace{3'000};
    int64_t overtakes_max = 16;
  };

  SchedulerCore(Options options, Random& random, TimePoint now);

  std::vector<Action> Apply(const Event& event, TimePoint now);

  // What Reserve would answer, without reserving or waiting. INVALID_ARGUMENT for a malformed price.
  absl::StatusOr<AdmitAnswer> CanAdmit(const std::string& model, const Price& price, TimePoint now) const;
  ClusterStatus Status(TimePoint now) const;
  uint64_t epoch() const { return epoch_; }
  const WorkerTable& table() const { return table_; }
  // The recent past: legs and refusals are noted by the core itself, ledgers as they are reported.
  void Report(LinkId link, const LedgerReport& report, TimePoint now);
  const History& history() const { return history_; }
  const RefusalLog& refusals() const { return refusals_; }
  const Options& options() const { return options_; }

 private:
  using Actions = std::vector<Action>;

  void On(const WorkerHello& event, TimePoint now, Actions& actions);
  void On(const LegActivated& event, TimePoint now, Actions& actions);
  void On(const LegSettled& event, TimePoint now, Actions& actions);
  void On(const StateChanged& event, TimePoint now, Actions& actions);
  void On(const Heartbeat& event, TimePoint now, Actions& actions);
  void On(const LinkLost& event, TimePoint now, Actions& actions);
  void On(const Reserve& event, TimePoint now, Actions& actions);
  void On(const CancelReserve& event, TimePoint now, Actions& actions);
  void On(const Renew& event, TimePoint now, Actions& actions);
  void On(const Void& event, TimePoint now, Actions& actions);
  void On(const Drain& event, TimePoint now, Actions& actions);
  void On(const Tick& event, TimePoint now, Actions& actions);

  // Notes the time; after a stop of the core itself, workers get their grace again.
  void NoticeStop(TimePoint now);
  void AdoptEpoch(uint64_t epoch, Actions& actions);
  void GreetWorker(Worker& worker, Actions& actions);
  // Tells workers that drain when nothing that was granted is on its way to them.
  void ReleaseDrained(Actions& actions);
  // Closes the link where the table says so.
  void Check(const absl::Status& status, LinkId link, Actions& actions);

  absl::Status CheckReserve(const Reserve& event) const;
  // For a Reserve that names it and has not come yet.
  void RememberVoid(const GrantId& id);
  // Why a request can never be granted as things stand; empty when waiting makes sense.
  std::optional<Refusal> WhyNever(const std::string& model, const Price& price, const std::vector<std::string>& exclude,
                                  const WorkerPools& pools, TimePoint now) const;
  // Who was refused.
  struct Refusee {
    Ticket ticket = 0;
    const std::string& request_id;
    const std::string& tenant;
    const std::string& model;
    const Price& price;
    const std::vector<std::string>& exclude_workers;
    TimePoint arrival;
  };
  void Refuse(const Refusee& refusee, Refusal refusal, const WorkerPools& pools, TimePoint now, Actions& actions);
  static Refusee RefuseeOf(const Waiting& waiting);
  // The legs of a price at the workers that the shortfall names, or that come nearest.
  std::vector<RefusedLeg> NearestLegs(const Refusee& refusee, const Refusal& refusal, const WorkerPools& pools) const;
  Refusal NeverFits(const std::vector<LegChoice>& legs) const;
  Refusal WaitedTooLong(const Waiting& waiting, const WorkerPools& pools) const;
  // Takes a request out of the queue.
  void Leave(Ticket ticket);
  // Grants what can go, in order. Looks at all who wait, so it runs only when one of them may fit that did not before
  // (needs_pass_), and at every tick for what time alone changes.
  void Schedule(TimePoint now, Actions& actions);
  void GrantTo(const Waiting& waiting, const std::vector<LegChoice>& legs, const std::vector<size_t>& chosen,
               WorkerPools& pools, TimePoint now, Actions& actions);
  // For a request that was overtaken often enough: adds the roles that it is short of to held_.
  void Protect(Waiting& waiting, const WorkerPools& pools);
  bool Held(const std::string& model, const Price& price) const;
  // Those who waited too long and those who wait for what has become impossible.
  void RefuseHopeless(TimePoint now, Actions& actions);
  Refusal QueueFull(const std::string& model, size_t models) const;
  // After which it makes sense to ask for this model again: how fast its requests get their turn, and how many wait.
  milliseconds RetryDelay(const std::string& model) const;
  TimePoint ReclaimAt(TimePoint now) const;

  const Options options_;
  Random& random_;
  TimePoint started_at_;  // or went on, after a stop
  TimePoint last_now_;
  History history_;
  RefusalLog refusals_;
  WorkerTable table_;
  FairQueue queue_;
  uint64_t epoch_ = 1;
  bool draining_ = false;
  bool needs_pass_ = false;  // of the event at hand: room, a worker or an end of protection came
  // Ids that were voided while nothing was known of them: the latest kVoidedMax, oldest first in the list.
  std::set<GrantId> voided_;
  std::deque<GrantId> voided_order_;
  // Model and role of which only requests in protection may take room; of the last pass.
  std::set<std::pair<std::string, Role>> held_;
  // Of the grants for one model, for retry delays.
  struct Pace {
    double interval_ms = 0;  // smoothed
    std::optional<TimePoint> last_grant_at;
  };
  std::map<std::string, Pace> paces_;            // of models that have a worker
  std::map<std::string, int64_t> device_bytes_;  // by worker: of its device, as last reported
};

}  // namespace headroom::admission
