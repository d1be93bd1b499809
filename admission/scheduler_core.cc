#include "admission/scheduler_core.h"

#include <algorithm>
#include <utility>

#include "admission/price.h"
#include "common/range.h"

namespace headroom::admission {
namespace {

constexpr size_t kExcludeMax = 64;
// A Void overtakes its Reserve by milliseconds: more than come in that time.
constexpr size_t kVoidedMax = 4096;
constexpr milliseconds kQueuedMax{24 * 3600 * 1000};
constexpr milliseconds kRetryNoWorker{1'000};
// The core hears something, if only a tick, ten times a second.
constexpr milliseconds kStopMin{1'000};

Refusal Voided() { return {RefusalReason::kVoided, "the caller voided the reservation"}; }
Refusal Draining() { return {RefusalReason::kDraining, "the scheduler is draining", {}, kRetryNoWorker}; }

}  // namespace

SchedulerCore::SchedulerCore(Options options, Random& random, TimePoint now)
    : options_(std::move(options)),
      random_(random),
      started_at_(now),
      last_now_(now),
      history_(options_.history, now),
      refusals_(options_.refusals_bytes_max),
      table_(options_.workers, history_),
      queue_(options_.queue) {}

std::vector<Action> SchedulerCore::Apply(const Event& event, TimePoint now) {
  Actions actions;
  NoticeStop(now);
  needs_pass_ = false;
  std::visit([&](const auto& kind) { On(kind, now, actions); }, event);
  if (needs_pass_) Schedule(now, actions);
  ReleaseDrained(actions);
  return actions;
}

void SchedulerCore::NoticeStop(TimePoint now) {
  const Duration stopped = now - std::exchange(last_now_, now);
  if (stopped <= std::max(options_.workers.worker_lost, kStopMin)) return;
  started_at_ = now;
  table_.SkipTime(stopped);
}

// ---- from workers

void SchedulerCore::On(const WorkerHello& event, TimePoint now, Actions& actions) {
  std::optional<LinkId> replaced;
  const absl::Status status = table_.Hello(event, now, replaced);
  if (replaced) {
    actions.push_back(CloseLink{*replaced, absl::AbortedError("another link speaks for this worker now")});
  }
  if (!status.ok()) {
    actions.push_back(CloseLink{event.link, status});
    return;
  }
  needs_pass_ = true;
  Worker& worker = *table_.Find(event.link);
  // An epoch at or above ours that we never told this worker comes from another leader.
  if (event.highest_epoch > worker.told_epoch && event.highest_epoch >= epoch_) {
    AdoptEpoch(event.highest_epoch + 1, actions);
  } else {
    GreetWorker(worker, actions);
  }
}

void SchedulerCore::On(const LegActivated& event, TimePoint now, Actions& actions) {
  Check(table_.Activated(event, now), event.link, actions);
}

void SchedulerCore::On(const LegSettled& event, TimePoint now, Actions& actions) {
  needs_pass_ = true;
  Check(table_.Settled(event, now), event.link, actions);
}

void SchedulerCore::On(const StateChanged& event, TimePoint now, Actions& actions) {
  needs_pass_ = true;
  Check(table_.State(event, now), event.link, actions);
}

void SchedulerCore::On(const Heartbeat& event, TimePoint now, Actions& actions) {
  // Most change nothing but the time of the last word.
  const Worker* worker = table_.Find(event.link);
  const bool placeable = worker != nullptr && table_.Placeable(*worker, now, epoch_);
  const Resources room = worker == nullptr ? Resources{} : worker->Room();
  const absl::Status status = table_.Beat(event, now);
  needs_pass_ = worker != nullptr && (placeable != table_.Placeable(*worker, now, epoch_) || worker->Room() != room);
  Check(status, event.link, actions);
  if (status.ok() && event.highest_epoch > epoch_) AdoptEpoch(event.highest_epoch + 1, actions);
}

void SchedulerCore::On(const LinkLost& event, TimePoint, Actions&) { table_.Lost(event.link); }

void SchedulerCore::Check(const absl::Status& status, LinkId link, Actions& actions) {
  if (status.ok()) return;
  table_.Lost(link);
  actions.push_back(CloseLink{link, status});
}

void SchedulerCore::AdoptEpoch(uint64_t epoch, Actions& actions) {
  epoch_ = epoch;
  for (auto& [name, worker] : table_.workers()) {
    if (worker.link) GreetWorker(worker, actions);
  }
}

void SchedulerCore::GreetWorker(Worker& worker, Actions& actions) {
  worker.told_epoch = epoch_;
  actions.push_back(Greet{*worker.link, epoch_});
}

void SchedulerCore::ReleaseDrained(Actions& actions) {
  for (auto& [name, worker] : table_.workers()) {
    if (worker.state != WorkerState::kDraining || !worker.link || !worker.pending.empty() || worker.released) continue;
    worker.released = true;
    actions.push_back(Release{*worker.link});
  }
}

// ---- from gateways

absl::Status SchedulerCore::CheckReserve(const Reserve& event) const {
  HEADROOM_RETURN_IF_ERROR(ValidatePrice(event.price));
  if (std::max({event.request_id.size(), event.tenant.size(), event.model.size()}) > kNameBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("request id, tenant or model has more than ", kNameBytesMax, " bytes"));
  }
  HEADROOM_RETURN_IF_ERROR(CheckRange("priority", event.priority, kPriorityMin, kPriorityMax));
  if (event.exclude_workers.size() > kExcludeMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("exclude_workers has ", event.exclude_workers.size(), " entries, at most ", kExcludeMax));
  }
  for (const std::string& name : event.exclude_workers) {
    if (name.size() > kNameBytesMax) {
      return absl::InvalidArgumentError(absl::StrCat("a worker name has more than ", kNameBytesMax, " bytes"));
    }
  }
  if (event.grant != GrantId{} && (table_.Knows(event.grant) || queue_.FindGrant(event.grant) != nullptr)) {
    return absl::InvalidArgumentError("the grant id is in use");
  }
  return absl::OkStatus();
}

void SchedulerCore::On(const CancelReserve& event, TimePoint, Actions&) { Leave(event.ticket); }

void SchedulerCore::Leave(Ticket ticket) {
  const Waiting* waiting = queue_.Find(ticket);
  if (waiting == nullptr) return;
  needs_pass_ = waiting->protects_vision || waiting->protects_llm;
  queue_.Remove(ticket);
}

void SchedulerCore::On(const Renew& event, TimePoint now, Actions& actions) {
  // Older epochs: their legs that are not active yet never will be.
  const bool known = event.epoch == epoch_ && table_.RenewGrant(event.id, event.epoch, ReclaimAt(now));
  actions.push_back(Renewed{event.call, known, known ? options_.grant_ttl : milliseconds(0)});
}

void SchedulerCore::On(const Void& event, TimePoint now, Actions& actions) {
  if (event.id == GrantId{}) return;
  needs_pass_ = table_.VoidGrant(event.id, now);
  if (needs_pass_) return;
  if (const Waiting* waiting = queue_.FindGrant(event.id)) {
    const Ticket ticket = waiting->ticket;
    actions.push_back(Refused{ticket, Voided()});
    Leave(ticket);
    return;
  }
  RememberVoid(event.id);
}

void SchedulerCore::RememberVoid(const GrantId& id) {
  if (!voided_.insert(id).second) return;
  voided_order_.push_back(id);
  if (voided_order_.size() <= kVoidedMax) return;
  voided_.erase(voided_order_.front());
  voided_order_.pop_front();
}

void SchedulerCore::On(const Reserve& event, TimePoint now, Actions& actions) {
  // Not worth remembering: its numbers are no numbers.
  if (absl::Status status = CheckReserve(event); !status.ok()) {
    actions.push_back(Refused{event.ticket, {RefusalReason::kInvalidReserve, std::string(status.message())}});
    return;
  }
  if (voided_.contains(event.grant)) {
    actions.push_back(Refused{event.ticket, Voided()});
    return;
  }
  const WorkerPools pools(table_, now, epoch_);
  auto refuse = [&](Refusal refusal) {
    Refuse({event.ticket, event.request_id, event.tenant, event.model, event.price, event.exclude_workers,
            now - std::clamp(event.queued, milliseconds(0), kQueuedMax)},
           std::move(refusal), pools, now, actions);
  };
  if (draining_) {
    return refuse(Draining());
  }
  if (auto never = WhyNever(event.model, event.price, event.exclude_workers, pools, now)) return refuse(*never);
  const milliseconds wait =
      event.wait_max.count() > 0 ? std::min(event.wait_max, options_.wait_max) : options_.wait_max;
  const size_t models = std::max<size_t>(1, pools.models());
  const bool pushed = queue_.Push({.ticket = event.ticket,
                                   .request_id = event.request_id,
                                   .tenant = event.tenant,
                                   .priority = event.priority,
                                   .cost = event.resume ? 0 : std::max<int64_t>(1, event.price.sequence_tokens),
                                   .arrival = now - std::clamp(event.queued, milliseconds(0), kQueuedMax),
                                   .give_up_at = now + wait,
                                   .model = event.model,
                                   .price = event.price,
                                   .exclude_workers = event.exclude_workers,
                                   .grant = event.grant},
                                  models);
  if (pushed) {
    // Of those who waited before, none fits for its coming.
    const auto legs = pools.Choices(event.model, event.price, event.exclude_workers, Against::kRoom);
    needs_pass_ = Place(legs, Against::kRoom).has_value();
    return;
  }
  refuse(QueueFull(event.model, models));
}

// ---- from the process

void SchedulerCore::On(const Drain&, TimePoint now, Actions& actions) {
  draining_ = true;
  const WorkerPools pools(table_, now, epoch_);
  for (const Waiting* waiting : queue_.Order()) {
    const Ticket ticket = waiting->ticket;
    Refuse(RefuseeOf(*waiting), Draining(), pools, now, actions);
    queue_.Remove(ticket);
  }
}

void SchedulerCore::On(const Tick&, TimePoint now, Actions& actions) {
  needs_pass_ = true;
  for (LinkId link : table_.Expire(now, epoch_)) {
    actions.push_back(CloseLink{link, absl::DeadlineExceededError("the worker was silent for too long")});
  }
  RefuseHopeless(now, actions);
  std::erase_if(device_bytes_, [this](const auto& entry) { return !table_.workers().contains(entry.first); });
  std::set<std::string> served;
  for (const auto& [name, worker] : table_.workers()) served.insert(worker.info.model);
  std::erase_if(paces_, [&served](const auto& entry) { return !served.contains(entry.first); });
}

// ---- views

absl::StatusOr<AdmitAnswer> SchedulerCore::CanAdmit(const std::string& model, const Price& price, TimePoint now) const {
  HEADROOM_RETURN_IF_ERROR(ValidatePrice(price));
  const WorkerPools pools(table_, now, epoch_);
  AdmitAnswer answer;
  if (auto never = WhyNever(model, price, {}, pools, now)) {
    if (never->shortfall) answer.shortfalls.push_back(*never->shortfall);
    return answer;
  }
  answer.fits_ever = true;
  const std::vector<LegChoice> legs = pools.Choices(model, price, {}, Against::kRoom);
  if (Place(legs, Against::kRoom)) {
    answer.fits_now = !draining_ && !Held(model, price);
  } else {
    answer.shortfalls = LeastShortfalls(legs, Against::kRoom);
  }
  return answer;
}

ClusterStatus SchedulerCore::Status(TimePoint now) const {
  ClusterStatus status{.epoch = epoch_,
                       .workers = {},
                       .queue_entries = static_cast<int64_t>(queue_.size()),
                       .queue_entries_max = static_cast<int64_t>(options_.queue.entries_max),
                       .grants_pending = static_cast<int64_t>(table_.pending_grants()),
                       .grants_active = static_cast<int64_t>(table_.active_grants())};
  for (const auto& [name, worker] : table_.workers()) {
    status.workers.push_back({.info = worker.info,
                              .incarnation = worker.incarnation,
                              .state = worker.state,
                              .load_progress = worker.load_progress,
                              .linked = worker.link.has_value(),
                              .placeable = table_.Placeable(worker, now, epoch_),
                              .reserved = worker.active_sum + worker.pending_sum,
                              .active_legs = static_cast<int64_t>(worker.active.size()),
                              .pending_legs = static_cast<int64_t>(worker.pending.size()),
                              .silent = milliseconds(Milliseconds(now - worker.last_heard))});
  }
  return status;
}

}  // namespace headroom::admission
