// The worker's side of admission: it enforces, and it holds the truth. A grant reaches the worker with the request that
// uses it; the gate checks it alone (cluster, model, epoch, incarnation, expiry, unused id, room) and turns its leg
// into an ActiveLeg, whose destructor settles it. No scheduler message per request. Whatever schedulers and gateways
// do, active legs never add up to more than the capacity (I1), a leg never uses more than it reserved (I2), settles
// exactly once (I3), and accepted epochs never go back (I5). Only the worker's own link raises the epoch: a grant comes
// from outside, and a scheduler grants nothing before the worker has acknowledged its epoch on the link.
//
// Every activation, settlement and state change is an event, numbered from 1 without gaps; the listener (WorkerLink)
// passes them to the scheduler. A leg that gives a part back is told as an activation with what is left of it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "admission/grant.h"
#include "common/clock.h"

namespace headroom::admission {

class WorkerGate;

// A leg in use. Movable; settled by Settle() or by its destructor, whichever comes first. The gate must outlive it.
// Different threads may use different legs; one leg is used by one thread at a time.
class ActiveLeg {
 public:
  ActiveLeg() = default;
  ActiveLeg(ActiveLeg&& other) noexcept;
  ActiveLeg& operator=(ActiveLeg&& other) noexcept;
  ActiveLeg(const ActiveLeg&) = delete;
  ActiveLeg& operator=(const ActiveLeg&) = delete;
  ~ActiveLeg() { Settle(); }

  // False after Settle, after a move, and for a default-made one.
  bool active() const { return gate_ != nullptr; }
  const LegKey& key() const { return key_; }
  // What was promised and not given back; stays readable after Settle.
  const Resources& resources() const { return resources_; }

  // Optional bookkeeping of what the leg really uses. `delta` may be negative. RESOURCE_EXHAUSTED, and nothing changes,
  // when a dimension would go above what is reserved; a programmer error when one would go below 0.
  absl::Status AddUsed(const Resources& delta);
  Resources used() const;

  // Gives a part of what was promised back at once, of what it does not use: a programmer error otherwise.
  void GiveBack(const Resources& part);
  // Gives the resources back at once. Idempotent.
  void Settle();

 private:
  friend class WorkerGate;
  ActiveLeg(WorkerGate* gate, LegKey key, const Resources& resources) : gate_(gate), key_(key), resources_(resources) {}

  WorkerGate* gate_ = nullptr;
  LegKey key_;
  Resources resources_;
};

struct GateEvent {
  enum class Kind { kActivated, kSettled, kState };
  uint64_t number = 0;
  Kind kind = Kind::kState;
  LegKey leg{};                               // kActivated, kSettled
  Resources resources{};                      // kActivated
  WorkerState state = WorkerState::kLoading;  // kState
  double load_progress = 0;                   // kState
};

// All of one moment.
struct GateSnapshot {
  struct ActiveEntry {
    LegKey leg;
    Resources resources;
    Resources used;
  };
  uint64_t last_event = 0;
  std::vector<ActiveEntry> active{};
  Resources reserved{};  // sum over `active`
  Resources used{};
  WorkerState state = WorkerState::kLoading;
  double load_progress = 0;
  uint64_t highest_epoch = 0;
};

// Thread-safe (one mutex, no call out but to the listener).
class WorkerGate {
 public:
  struct Options {
    std::string worker;  // name, unique in the cluster
    std::string cluster_id;
    std::string model;         // fingerprint
    uint64_t incarnation = 0;  // random and not 0: take SystemRandom().Next() at process start
    Resources capacity;
    // How long a settled id is remembered against replays: twice the longest ttl in use.
    milliseconds settled_memory{60'000};
    // Ids remembered at most; when all of them are still fresh, activations are refused until one is not.
    size_t settled_ids_max = 65'536;
  };

  // `capacity` must pass ValidateResources.
  WorkerGate(Options options, Clock& clock);
  // All legs must be gone.
  ~WorkerGate();
  WorkerGate(const WorkerGate&) = delete;
  WorkerGate& operator=(const WorkerGate&) = delete;

  // Activates the grant's leg of `role`. `received_at`: when the message with the grant arrived; its ttl counts from
  // there (the gateway puts in what is left of it).
  //   INVALID_ARGUMENT     no leg of that role, or one with resources out of bounds
  //   FAILED_PRECONDITION  another cluster, another model, another worker
  //   ABORTED              another epoch, other incarnation, or expired: the caller asks the scheduler for a new grant
  //   ALREADY_EXISTS       the id was used before
  //   RESOURCE_EXHAUSTED   no room, with the numbers: the caller asks the scheduler for a new grant
  //   UNAVAILABLE          still loading
  // A draining worker accepts: a grant made before it drained is a promise.
  absl::StatusOr<ActiveLeg> Activate(const Grant& grant, Role role, TimePoint received_at);
  absl::StatusOr<ActiveLeg> Activate(const Grant& grant, Role role) { return Activate(grant, role, clock_.Now()); }

  // A scheduler led with this epoch. False, and nothing changes, when it is older than the highest seen or of another
  // cluster.
  bool ObserveEpoch(const std::string& cluster_id, uint64_t epoch);

  // LOADING at first. `load_progress` 0…1.
  void SetState(WorkerState state, double load_progress);

  // At most one; called under the gate's lock in the order of the event numbers, so it must not block and must not call
  // the gate. An empty function removes it; after that returns it is not running and will not be called.
  void SetListener(std::function<void(const GateEvent&)> listener);

  GateSnapshot Snapshot() const;
  const Options& options() const { return options_; }

 private:
  friend class ActiveLeg;
  struct Entry {
    Resources resources;
    Resources used;
  };
  struct Settled {
    LegKey key;
    TimePoint until;
  };

  absl::Status CheckFences(const Grant& grant, const Leg& leg, TimePoint received_at, TimePoint now) const;
  absl::Status CheckUnusedAndRoom(const LegKey& key, const Resources& need) const;
  void ForgetSettled(TimePoint now);
  void Publish(GateEvent event);
  void SettleLeg(const LegKey& key);
  void GiveBack(const LegKey& key, const Resources& part);
  absl::Status AddUsed(const LegKey& key, const Resources& delta);
  Resources Used(const LegKey& key) const;

  const Options options_;
  Clock& clock_;
  mutable std::mutex mutex_;
  std::function<void(const GateEvent&)> listener_;
  uint64_t last_event_ = 0;
  uint64_t highest_epoch_ = 0;
  WorkerState state_ = WorkerState::kLoading;
  double load_progress_ = 0;
  Resources reserved_;
  std::map<LegKey, Entry> active_;
  std::set<LegKey> settled_;
  std::deque<Settled> settled_order_;  // oldest first
};

}  // namespace headroom::admission
