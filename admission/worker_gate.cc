#include "admission/worker_gate.h"

#include <algorithm>
#include <utility>

#include "common/check.h"

namespace headroom::admission {

ActiveLeg::ActiveLeg(ActiveLeg&& other) noexcept
    : gate_(std::exchange(other.gate_, nullptr)), key_(other.key_), resources_(other.resources_) {}

ActiveLeg& ActiveLeg::operator=(ActiveLeg&& other) noexcept {
  if (this != &other) {
    Settle();
    gate_ = std::exchange(other.gate_, nullptr);
    key_ = other.key_;
    resources_ = other.resources_;
  }
  return *this;
}

void ActiveLeg::Settle() {
  if (WorkerGate* gate = std::exchange(gate_, nullptr)) gate->SettleLeg(key_);
}

void ActiveLeg::GiveBack(const Resources& part) {
  HEADROOM_CHECK(active()) << "a settled leg gives back";
  gate_->GiveBack(key_, part);
  resources_ -= part;
}

absl::Status ActiveLeg::AddUsed(const Resources& delta) {
  HEADROOM_CHECK(active()) << "AddUsed on a settled leg";
  return gate_->AddUsed(key_, delta);
}

Resources ActiveLeg::used() const { return active() ? gate_->Used(key_) : Resources{}; }

WorkerGate::WorkerGate(Options options, Clock& clock) : options_(std::move(options)), clock_(clock) {
  HEADROOM_CHECK(ValidateResources(options_.capacity).ok());
  HEADROOM_CHECK(options_.incarnation != 0);
  HEADROOM_CHECK(options_.settled_ids_max > 0);
}

WorkerGate::~WorkerGate() { HEADROOM_CHECK(active_.empty()) << active_.size() << " legs outlive their gate"; }

absl::StatusOr<ActiveLeg> WorkerGate::Activate(const Grant& grant, Role role, TimePoint received_at) {
  const Leg* leg = grant.Find(role);
  if (leg == nullptr) return absl::InvalidArgumentError(absl::StrCat("the grant has no ", RoleName(role), " leg"));
  HEADROOM_RETURN_IF_ERROR(ValidateResources(leg->resources));
  const LegKey key{grant.id, role};
  const TimePoint now = clock_.Now();
  std::lock_guard lock(mutex_);
  ForgetSettled(now);
  HEADROOM_RETURN_IF_ERROR(CheckFences(grant, *leg, received_at, now));
  HEADROOM_RETURN_IF_ERROR(CheckUnusedAndRoom(key, leg->resources));
  reserved_ += leg->resources;
  active_.emplace(key, Entry{leg->resources, {}});
  Publish({.kind = GateEvent::Kind::kActivated, .leg = key, .resources = leg->resources});
  return ActiveLeg(this, key, leg->resources);
}

absl::Status WorkerGate::CheckFences(const Grant& grant, const Leg& leg, TimePoint received_at, TimePoint now) const {
  if (grant.cluster_id != options_.cluster_id) return absl::FailedPreconditionError("the grant is of another cluster");
  if (grant.model != options_.model) return absl::FailedPreconditionError("the grant is for another model");
  if (leg.worker != options_.worker) return absl::FailedPreconditionError("the grant's leg names another worker");
  if (state_ == WorkerState::kLoading) return absl::UnavailableError("the worker is still loading its model");
  if (leg.incarnation != options_.incarnation) {
    return absl::AbortedError("the grant is for an earlier start of this worker");
  }
  if (grant.epoch != highest_epoch_) {
    return absl::AbortedError(absl::StrCat("the grant's epoch is ", grant.epoch, ", the worker's ", highest_epoch_));
  }
  // In milliseconds, not in clock ticks: a ttl near the end of its type must not overflow.
  if (Milliseconds(now - received_at) >= grant.ttl.count()) {
    return absl::AbortedError("the grant expired before it was used");
  }
  return absl::OkStatus();
}

absl::Status WorkerGate::CheckUnusedAndRoom(const LegKey& key, const Resources& need) const {
  if (active_.contains(key) || settled_.contains(key)) return absl::AlreadyExistsError("the grant was used before");
  if (static_cast<int64_t>(active_.size()) >= kLegsPerWorkerMax) {
    return absl::ResourceExhaustedError(absl::StrCat("the worker has ", active_.size(), " legs, at most that many"));
  }
  // Every active leg needs a place among the remembered ids when it settles.
  if (settled_.size() + active_.size() >= options_.settled_ids_max) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the worker remembers ", settled_.size(), " recent grants, at most ", options_.settled_ids_max));
  }
  const Resources room = ClampedAtZero(options_.capacity - reserved_);
  if (Fits(need, room)) return absl::OkStatus();
  const std::optional<Shortfall> worst = WorstShortfall(need, room, options_.capacity, options_.worker);
  return absl::ResourceExhaustedError("no room at the worker: " + Describe(*worst));
}

bool WorkerGate::ObserveEpoch(const std::string& cluster_id, uint64_t epoch) {
  std::lock_guard lock(mutex_);
  if (cluster_id != options_.cluster_id || epoch < highest_epoch_) return false;
  highest_epoch_ = epoch;
  return true;
}

void WorkerGate::SetState(WorkerState state, double load_progress) {
  std::lock_guard lock(mutex_);
  state_ = state;
  load_progress_ = std::clamp(load_progress, 0.0, 1.0);
  Publish({.kind = GateEvent::Kind::kState, .state = state_, .load_progress = load_progress_});
}

void WorkerGate::SetListener(std::function<void(const GateEvent&)> listener) {
  std::lock_guard lock(mutex_);
  listener_ = std::move(listener);
}

GateSnapshot WorkerGate::Snapshot() const {
  std::lock_guard lock(mutex_);
  GateSnapshot snapshot{.last_event = last_event_,
                        .reserved = reserved_,
                        .state = state_,
                        .load_progress = load_progress_,
                        .highest_epoch = highest_epoch_};
  snapshot.active.reserve(active_.size());
  for (const auto& [key, entry] : active_) {
    snapshot.active.push_back({key, entry.resources, entry.used});
    snapshot.used += entry.used;
  }
  return snapshot;
}

void WorkerGate::ForgetSettled(TimePoint now) {
  while (!settled_order_.empty() && settled_order_.front().until <= now) {
    settled_.erase(settled_order_.front().key);
    settled_order_.pop_front();
  }
}

void WorkerGate::Publish(GateEvent event) {
  event.number = ++last_event_;
  if (listener_) listener_(event);
}

void WorkerGate::SettleLeg(const LegKey& key) {
  const TimePoint now = clock_.Now();
  std::lock_guard lock(mutex_);
  auto found = active_.find(key);
  HEADROOM_CHECK(found != active_.end()) << "a leg settles twice";
  reserved_ -= found->second.resources;
  active_.erase(found);
  settled_.insert(key);
  settled_order_.push_back({key, now + options_.settled_memory});
  Publish({.kind = GateEvent::Kind::kSettled, .leg = key});
}

void WorkerGate::GiveBack(const LegKey& key, const Resources& part) {
  std::lock_guard lock(mutex_);
  auto found = active_.find(key);
  HEADROOM_CHECK(found != active_.end());
  Entry& entry = found->second;
  const Resources left = entry.resources - part;
  HEADROOM_CHECK(part == ClampedAtZero(part) && Fits(entry.used, left)) << "a leg gives back what it uses";
  entry.resources = left;
  reserved_ -= part;
  Publish({.kind = GateEvent::Kind::kActivated, .leg = key, .resources = left});
}

absl::Status WorkerGate::AddUsed(const LegKey& key, const Resources& delta) {
  std::lock_guard lock(mutex_);
  auto found = active_.find(key);
  HEADROOM_CHECK(found != active_.end());
  const Resources used = found->second.used + delta;
  HEADROOM_CHECK(used == ClampedAtZero(used)) << "a leg gives back more than it uses";
  if (auto worst = WorstShortfall(used, found->second.resources, found->second.resources, options_.worker)) {
    return absl::ResourceExhaustedError("a leg wants more than it reserved: " + Describe(*worst));
  }
  found->second.used = used;
  return absl::OkStatus();
}

Resources WorkerGate::Used(const LegKey& key) const {
  std::lock_guard lock(mutex_);
  auto found = active_.find(key);
  return found == active_.end() ? Resources{} : found->second.used;
}

}  // namespace headroom::admission
