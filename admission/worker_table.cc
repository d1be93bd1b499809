#include "admission/worker_table.h"

#include <algorithm>
#include <limits>
#include <set>

#include "common/check.h"

namespace headroom::admission {

namespace {

// The next leader takes the highest epoch + 1.
absl::Status CheckEpoch(uint64_t highest) {
  if (highest < std::numeric_limits<uint64_t>::max()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the worker reports epoch ", highest, ", after which there is none"));
}

}  // namespace

bool Worker::Has(Role role) const { return std::find(info.roles.begin(), info.roles.end(), role) != info.roles.end(); }

absl::Status WorkerTable::CheckHello(const WorkerHello& hello) const {
  const WorkerInfo& info = hello.info;
  if (hello.cluster_id != options_.cluster_id) {
    return absl::FailedPreconditionError("the worker belongs to another cluster");
  }
  for (const std::string* text : {&info.worker, &info.endpoint, &info.device, &info.model}) {
    if (text->size() > kNameBytesMax) {
      return absl::InvalidArgumentError(absl::StrCat("a name has ", text->size(), " bytes, at most ", kNameBytesMax));
    }
  }
  if (info.worker.empty() || info.endpoint.empty() || hello.incarnation == 0 || info.roles.empty()) {
    return absl::InvalidArgumentError("a hello needs worker, endpoint, incarnation and roles");
  }
  if (info.roles.size() > 2) return absl::InvalidArgumentError("a worker has at most 2 roles");
  HEADROOM_RETURN_IF_ERROR(ValidateResources(info.capacity));
  HEADROOM_RETURN_IF_ERROR(CheckEpoch(hello.highest_epoch));
  if (!workers_.contains(info.worker) && workers_.size() >= options_.workers_max) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the scheduler has ", workers_.size(), " workers, at most that many"));
  }
  const auto known = links_.find(hello.link);
  if (known != links_.end() && known->second != info.worker) {
    return absl::InvalidArgumentError("a link speaks for one worker");
  }
  return absl::OkStatus();
}

absl::Status WorkerTable::Hello(const WorkerHello& hello, TimePoint now, std::optional<LinkId>& replaced) {
  HEADROOM_RETURN_IF_ERROR(CheckHello(hello));
  HEADROOM_RETURN_IF_ERROR(CheckName(hello, now));
  HEADROOM_RETURN_IF_ERROR(CheckUnits(hello.info, now));
  Worker& worker = workers_[hello.info.worker];
  if (worker.incarnation != hello.incarnation) {
    DropAllLegs(worker, now);
    worker.last_event = 0;
    worker.acknowledged_epoch = 0;
    worker.told_epoch = 0;
  }
  if (worker.link && *worker.link != hello.link) {
    replaced = worker.link;
    links_.erase(*worker.link);
  }
  worker.info = hello.info;
  worker.incarnation = hello.incarnation;
  worker.link = hello.link;
  worker.last_heard = now;
  worker.state = hello.state;
  worker.load_progress = hello.load_progress;
  worker.in_step = false;
  worker.released = false;
  links_[hello.link] = hello.info.worker;
  history_.Hello(hello.info, hello.incarnation);
  return absl::OkStatus();
}

// Two processes under one name would replace each other for ever, and each time void what the other was granted.
absl::Status WorkerTable::CheckName(const WorkerHello& hello, TimePoint now) const {
  const auto found = workers_.find(hello.info.worker);
  if (found == workers_.end()) return absl::OkStatus();
  const Worker& holder = found->second;
  const bool held = holder.incarnation != hello.incarnation && holder.link && *holder.link != hello.link;
  if (!held || !Present(holder, now)) return absl::OkStatus();
  return absl::AlreadyExistsError("another worker is connected under this name, from " + holder.info.endpoint);
}

// A price is made before its workers are chosen, so all of a model must count in the same units.
absl::Status WorkerTable::CheckUnits(const WorkerInfo& info, TimePoint now) const {
  const auto agree = [](const char* unit, int64_t mine, int64_t others, const std::string& other) {
    if (mine == 0 || others == 0 || mine == others) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat("workers of one model must agree on ", unit, ": this one says ",
                                                      mine, ", ", other, " says ", others));
  };
  for (const auto& [name, worker] : workers_) {
    const WorkerInfo& other = worker.info;
    if (name == info.worker || other.model != info.model || !worker.link || !Present(worker, now)) continue;
    HEADROOM_RETURN_IF_ERROR(agree("block_size", info.block_size, other.block_size, name));
    HEADROOM_RETURN_IF_ERROR(agree("the bytes of a row of embeddings (model.dtype)", info.embedding_row_bytes,
                                   other.embedding_row_bytes, name));
  }
  return absl::OkStatus();
}

Worker* WorkerTable::Find(LinkId link) {
  const auto found = links_.find(link);
  return found == links_.end() ? nullptr : &workers_.at(found->second);
}

absl::StatusOr<Worker*> WorkerTable::Speaker(LinkId link, TimePoint now) {
  Worker* worker = Find(link);
  if (worker == nullptr) return absl::FailedPreconditionError("the link has not said hello, or another replaced it");
  worker->last_heard = now;
  return worker;
}

WorkerTable::Order WorkerTable::Note(Worker& worker, uint64_t number) {
  if (number <= worker.last_event) return Order::kKnown;
  if (number != worker.last_event + 1) worker.in_step = false;
  worker.last_event = number;
  return Order::kNext;
}

absl::Status WorkerTable::CheckReport(const LegReport& report) const {
  if (report.leg.id == GrantId{}) return absl::InvalidArgumentError("a leg without a grant id");
  return ValidateResources(report.resources);
}

absl::Status WorkerTable::Activated(const LegActivated& event, TimePoint now) {
  HEADROOM_ASSIGN_OR_RETURN(Worker * worker, Speaker(event.link, now));
  HEADROOM_RETURN_IF_ERROR(CheckReport(event.report));
  if (static_cast<int64_t>(worker->active.size()) >= kLegsPerWorkerMax) {
    return absl::ResourceExhaustedError(absl::StrCat("a worker has at most ", kLegsPerWorkerMax, " legs"));
  }
  if (Note(*worker, event.number) == Order::kKnown) return absl::OkStatus();
  AddActive(*worker, event.report, now);
  return absl::OkStatus();
}

absl::Status WorkerTable::Settled(const LegSettled& event, TimePoint now) {
  HEADROOM_ASSIGN_OR_RETURN(Worker * worker, Speaker(event.link, now));
  Note(*worker, event.number);
  // Final, whatever else was heard or missed: a heartbeat that overtook both events of a short leg knew of neither.
  RemoveActive(*worker, event.leg, now);
  DropPending(*worker, event.leg, now);
  return absl::OkStatus();
}

absl::Status WorkerTable::State(const StateChanged& event, TimePoint now) {
  HEADROOM_ASSIGN_OR_RETURN(Worker * worker, Speaker(event.link, now));
  if (Note(*worker, event.number) == Order::kKnown) return absl::OkStatus();
  worker->state = event.state;
  worker->load_progress = event.load_progress;
  return absl::OkStatus();
}

absl::Status WorkerTable::Beat(const Heartbeat& heartbeat, TimePoint now) {
  if (static_cast<int64_t>(heartbeat.active.size()) > kLegsPerWorkerMax) {
    return absl::InvalidArgumentError(absl::StrCat("a worker has at most ", kLegsPerWorkerMax, " legs"));
  }
  HEADROOM_RETURN_IF_ERROR(CheckEpoch(heartbeat.highest_epoch));
  std::set<LegKey> reported;
  for (const LegReport& report : heartbeat.active) {
    HEADROOM_RETURN_IF_ERROR(CheckReport(report));
    if (!reported.insert(report.leg).second) return absl::InvalidArgumentError("a heartbeat lists a leg twice");
  }
  HEADROOM_ASSIGN_OR_RETURN(Worker * worker, Speaker(heartbeat.link, now));
  worker->acknowledged_epoch = std::max(worker->acknowledged_epoch, heartbeat.highest_epoch);
  // An older picture than the events that came since: only a sign of life.
  if (heartbeat.last_event < worker->last_event) return absl::OkStatus();
  worker->last_event = heartbeat.last_event;
  worker->in_step = true;
  worker->state = heartbeat.state;
  worker->load_progress = heartbeat.load_progress;
  std::vector<LegKey> gone;
  for (const auto& [leg, resources] : worker->active) {
    if (!reported.contains(leg)) gone.push_back(leg);
  }
  for (const LegKey& leg : gone) RemoveActive(*worker, leg, now);
  for (const LegReport& report : heartbeat.active) AddActive(*worker, report, now);
  DropOlderEpochs(*worker, now);
  return absl::OkStatus();
}

void WorkerTable::Lost(LinkId link) {
  Worker* worker = Find(link);
  if (worker == nullptr) return;
  worker->link.reset();
  worker->in_step = false;
  links_.erase(link);
}

void WorkerTable::AddActive(Worker& worker, const LegReport& report, TimePoint now) {
  TakePending(worker, report.leg);
  history_.Active(worker.info.worker, report.leg, report.resources, now);
  auto [position, added] = worker.active.emplace(report.leg, report.resources);
  if (!added) {
    worker.active_sum -= position->second;
    position->second = report.resources;
  } else {
    ++active_grants_[report.leg.id];
  }
  worker.active_sum += report.resources;
}

void WorkerTable::RemoveActive(Worker& worker, const LegKey& leg, TimePoint now) {
  const auto found = worker.active.find(leg);
  if (found == worker.active.end()) return;
  history_.Ended(worker.info.worker, leg, now);
  worker.active_sum -= found->second;
  worker.active.erase(found);
  const auto count = active_grants_.find(leg.id);
  if (--count->second == 0) active_grants_.erase(count);
}

bool WorkerTable::TakePending(Worker& worker, const LegKey& leg) {
  const auto found = worker.pending.find(leg);
  if (found == worker.pending.end()) return false;
  worker.pending_sum -= found->second;
  worker.pending.erase(found);
  const auto grant = grants_.find(leg.id);
  HEADROOM_CHECK(grant != grants_.end());
  std::erase(grant->second.legs, std::pair(worker.info.worker, leg.role));
  if (grant->second.legs.empty()) grants_.erase(grant);
  return true;
}

void WorkerTable::DropPending(Worker& worker, const LegKey& leg, TimePoint now) {
  if (TakePending(worker, leg)) history_.Ended(worker.info.worker, leg, now);
}

void WorkerTable::DropAllLegs(Worker& worker, TimePoint now) {
  while (!worker.active.empty()) RemoveActive(worker, LegKey(worker.active.begin()->first), now);
  while (!worker.pending.empty()) DropPending(worker, LegKey(worker.pending.begin()->first), now);
}

void WorkerTable::DropOlderEpochs(Worker& worker, TimePoint now) {
  std::vector<LegKey> older;
  for (const auto& [leg, resources] : worker.pending) {
    if (grants_.at(leg.id).epoch < worker.acknowledged_epoch) older.push_back(leg);
  }
  for (const LegKey& leg : older) DropPending(worker, leg, now);
}

void WorkerTable::AddGrant(const Grant& grant, TimePoint reclaim_at) {
  PendingGrant& pending = grants_[grant.id];
  HEADROOM_CHECK(pending.legs.empty()) << "a grant id is used twice";
  pending.epoch = grant.epoch;
  pending.reclaim_at = reclaim_at;
  for (const Leg& leg : grant.legs) {
    Worker& worker = workers_.at(leg.worker);
    HEADROOM_CHECK(Fits(leg.resources, worker.Room())) << "a leg without room";
    worker.pending.emplace(LegKey{grant.id, leg.role}, leg.resources);
    worker.pending_sum += leg.resources;
    pending.legs.emplace_back(leg.worker, leg.role);
  }
}

bool WorkerTable::RenewGrant(const GrantId& id, uint64_t epoch, TimePoint reclaim_at) {
  const auto found = grants_.find(id);
  if (found == grants_.end()) return active_grants_.contains(id);
  if (found->second.epoch != epoch) return false;
  found->second.reclaim_at = std::max(found->second.reclaim_at, reclaim_at);
  return true;
}

bool WorkerTable::VoidGrant(const GrantId& id, TimePoint now) {
  const auto found = grants_.find(id);
  if (found == grants_.end()) return false;
  const auto legs = found->second.legs;
  for (const auto& [worker, role] : legs) DropPending(workers_.at(worker), {id, role}, now);
  return true;
}

bool WorkerTable::Placeable(const Worker& worker, TimePoint now, uint64_t epoch) const {
  return worker.link && worker.state == WorkerState::kReady && worker.in_step && worker.acknowledged_epoch >= epoch &&
         Present(worker, now) && static_cast<int64_t>(worker.active.size() + worker.pending.size()) < kLegsPerWorkerMax;
}

void WorkerTable::SkipTime(Duration stopped) {
  for (auto& [name, worker] : workers_) {
    worker.last_heard += stopped;
    worker.in_step = false;
  }
}

std::vector<LinkId> WorkerTable::Expire(TimePoint now, uint64_t epoch) {
  std::vector<std::pair<std::string, LegKey>> expired;
  for (const auto& [id, grant] : grants_) {
    if (grant.reclaim_at > now) continue;
    for (const auto& [name, role] : grant.legs) {
      const Worker& worker = workers_.at(name);
      const bool in_step = worker.link && worker.in_step && worker.acknowledged_epoch >= epoch && Present(worker, now);
      if (in_step) expired.emplace_back(name, LegKey{id, role});
    }
  }
  for (const auto& [name, leg] : expired) DropPending(workers_.at(name), leg, now);

  std::vector<LinkId> closed;
  for (auto it = workers_.begin(); it != workers_.end();) {
    Worker& worker = it->second;
    if (now - worker.last_heard <= options_.worker_forget) {
      ++it;
      continue;
    }
    if (worker.link) {
      closed.push_back(*worker.link);
      links_.erase(*worker.link);
    }
    DropAllLegs(worker, now);
    history_.Forgotten(worker.info.worker);
    it = workers_.erase(it);
  }
  return closed;
}

}  // namespace headroom::admission
