// The scheduler's view of workers and grants: a plan, never the truth. It follows what workers report:
//   room = capacity − what the worker reports active at event n − pending legs that the worker had not seen at n.
//
// Rules, and why:
//   - A leg becomes active by the worker's report alone, also one that this scheduler never granted (an earlier leader
//     did) or had taken back already (the worker was faster): the worker is right.
//   - Active legs leave by the worker's report, or when their incarnation is dead: a hello with another incarnation, or
//     silence for `worker_forget`. Never by a timer of their own.
//   - Pending legs leave by activation, Void, or expiry (1.1 · ttl + round trip). Expiry waits while the view of that
//     worker is not in step: the leg may be active there without our knowing.
//   - A worker is placeable when its link is up, it said READY, it was heard within `worker_lost`, no event is missing
//     and it has acknowledged the current epoch in a heartbeat. From that heartbeat on no grant of an older epoch can
//     become active there, so its pending legs of older epochs are dropped.
//   - A lost link makes a worker unplaceable at once, but it stays *present* for `worker_lost`: requests that need it
//     wait for it that long. Its legs stay on the books until it says otherwise; a link that is lost says nothing about
//     the requests that run.
// Pure; not thread-safe.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "admission/history.h"
#include "admission/scheduler_events.h"
#include "common/clock.h"

namespace headroom::admission {

struct Worker {
  WorkerInfo info;
  uint64_t incarnation = 0;
  std::optional<LinkId> link;
  TimePoint last_heard;
  WorkerState state = WorkerState::kLoading;
  double load_progress = 0;
  uint64_t last_event = 0;
  bool in_step = false;             // no event is missing since the last heartbeat
  uint64_t acknowledged_epoch = 0;  // in a heartbeat
  uint64_t told_epoch = 0;          // highest one that this scheduler sent to this incarnation
  bool released = false;            // it drains, and was told on this link that no grant waits for it
  std::map<LegKey, Resources> active;
  std::map<LegKey, Resources> pending;
  Resources active_sum;
  Resources pending_sum;

  // May be negative where a report overtook the plan.
  Resources Room() const { return info.capacity - active_sum - pending_sum; }
  bool Has(Role role) const;
};

class WorkerTable {
 public:
  struct Options {
    std::string cluster_id;
    milliseconds worker_lost{5'000};
    milliseconds worker_forget{600'000};
    size_t workers_max = 1024;
  };
  // `history` hears of every leg that becomes active or ends.
  WorkerTable(Options options, History& history) : options_(std::move(options)), history_(history) {}

  // ---- from workers. A status that is not OK says why the link must be closed; nothing has changed then.

  // `replaced`: another link that spoke for this worker and must be closed. ALREADY_EXISTS: another process has the
  // name, is linked and was heard of lately; a restarted worker gets its name when the old one's link is lost or
  // silent.
  // FAILED_PRECONDITION: it counts in other units than a worker of its model that is linked.
  absl::Status Hello(const WorkerHello& hello, TimePoint now, std::optional<LinkId>& replaced);
  absl::Status Activated(const LegActivated& event, TimePoint now);
  absl::Status Settled(const LegSettled& event, TimePoint now);
  absl::Status State(const StateChanged& event, TimePoint now);
  absl::Status Beat(const Heartbeat& heartbeat, TimePoint now);
  void Lost(LinkId link);

  // ---- grants

  // Every leg's worker must have room.
  void AddGrant(const Grant& grant, TimePoint reclaim_at);
  // False: no such grant of that epoch, or all of it is over.
  bool RenewGrant(const GrantId& id, uint64_t epoch, TimePoint reclaim_at);
  // Drops the legs that are still pending; false: there are none.
  bool VoidGrant(const GrantId& id, TimePoint now);
  // At least one leg is pending or active.
  bool Knows(const GrantId& id) const { return grants_.contains(id) || active_grants_.contains(id); }

  // ---- time and epochs

  // The scheduler itself did not run for so long: what workers said meanwhile has not been read yet. None was silent,
  // and none is in step before its next heartbeat.
  void SkipTime(Duration stopped);
  // Takes back what expired and forgets workers that were silent for too long; returns the links to close.
  std::vector<LinkId> Expire(TimePoint now, uint64_t epoch);
  bool Present(const Worker& worker, TimePoint now) const { return now - worker.last_heard <= options_.worker_lost; }
  bool Placeable(const Worker& worker, TimePoint now, uint64_t epoch) const;

  // Null when the link has not said hello (or another has replaced it).
  Worker* Find(LinkId link);
  std::map<std::string, Worker>& workers() { return workers_; }
  const std::map<std::string, Worker>& workers() const { return workers_; }
  size_t pending_grants() const { return grants_.size(); }
  size_t active_grants() const { return active_grants_.size(); }

 private:
  struct PendingGrant {
    uint64_t epoch = 0;
    TimePoint reclaim_at;
    std::vector<std::pair<std::string, Role>> legs;  // worker, role: those still pending
  };
  enum class Order { kNext, kKnown };

  absl::StatusOr<Worker*> Speaker(LinkId link, TimePoint now);
  // Notes the number; kKnown: said before, nothing to do.
  static Order Note(Worker& worker, uint64_t number);
  absl::Status CheckHello(const WorkerHello& hello) const;
  absl::Status CheckName(const WorkerHello& hello, TimePoint now) const;
  absl::Status CheckUnits(const WorkerInfo& info, TimePoint now) const;
  absl::Status CheckReport(const LegReport& report) const;
  void AddActive(Worker& worker, const LegReport& report, TimePoint now);
  void RemoveActive(Worker& worker, const LegKey& leg, TimePoint now);
  // From the worker's books and from the grant's. False: it was not there.
  bool TakePending(Worker& worker, const LegKey& leg);
  // It ends without having been active.
  void DropPending(Worker& worker, const LegKey& leg, TimePoint now);
  void DropAllLegs(Worker& worker, TimePoint now);
  void DropOlderEpochs(Worker& worker, TimePoint now);

  Options options_;
  History& history_;
  std::map<std::string, Worker> workers_;
  std::unordered_map<LinkId, std::string> links_;  // link → worker
  std::map<GrantId, PendingGrant> grants_;         // with at least one pending leg
  std::map<GrantId, int> active_grants_;           // number of active legs
};

}  // namespace headroom::admission
