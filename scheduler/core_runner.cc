#include "scheduler/core_runner.h"

#include <algorithm>

#include "common/error_details.h"
#include "common/log.h"

namespace headroom::scheduler {
namespace {

using admission::LinkId;
using admission::Ticket;

constexpr std::chrono::milliseconds kTickPeriod(100);

// The refusal as it goes to the caller, with the details for machines.
absl::Status ToStatus(const admission::Refusal& refusal) {
  std::map<std::string, std::string> metadata;
  if (refusal.shortfall) {
    const admission::Shortfall& shortfall = *refusal.shortfall;
    metadata = {{"budget", shortfall.budget},
                {"needed", absl::StrCat(shortfall.needed)},
                {"free", absl::StrCat(shortfall.free)},
                {"capacity", absl::StrCat(shortfall.capacity)},
                {"shortfall", absl::StrCat(shortfall.needed - shortfall.free)}};
    if (!shortfall.worker.empty()) metadata["worker"] = shortfall.worker;
  }
  std::optional<admission::milliseconds> retry_delay;
  if (refusal.retry_delay.count() > 0) retry_delay = refusal.retry_delay;
  return RefusalError(refusal.reason, refusal.message, metadata, retry_delay);
}

admission::LedgerReport ReportOf(const v1::DeviceLedger& ledger) {
  admission::LedgerReport report{.total_bytes = ledger.total_bytes()};
  report.lines.reserve(static_cast<size_t>(ledger.lines_size()));
  for (const v1::LedgerLine& line : ledger.lines()) {
    report.lines.push_back({line.component(), line.planned_bytes(), line.reserved_bytes(), line.used_bytes()});
  }
  return report;
}

}  // namespace

CoreRunner::CoreRunner(admission::SchedulerCore::Options options, Clock& clock, Random& random,
                       SchedulerMetrics& metrics)
    : clock_(clock), metrics_(metrics), core_(std::move(options), random, clock.Now()) {
  ticker_ = std::thread([this] { TickUntilStopped(); });
}

CoreRunner::~CoreRunner() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_changed_.notify_all();
  ticker_.join();
}

void CoreRunner::TickUntilStopped() {
  std::unique_lock lock(mutex_);
  while (!stop_changed_.wait_for(lock, kTickPeriod, [this] { return stopping_; })) {
    Effects effects = ApplyLocked(admission::Tick{});
    std::erase_if(ledgers_, [this](const auto& entry) { return !core_.table().workers().contains(entry.first); });
    lock.unlock();
    for (const auto& effect : effects) effect();
    lock.lock();
  }
}

CoreRunner::Effects CoreRunner::ApplyLocked(const admission::Event& event) {
  Effects effects;
  for (const admission::Action& action : core_.Apply(event, clock_.Now())) {
    std::visit([&](const auto& kind) { Carry(kind, effects); }, action);
  }
  return effects;
}

void CoreRunner::Apply(const admission::Event& event) {
  Effects effects;
  {
    std::lock_guard lock(mutex_);
    effects = ApplyLocked(event);
  }
  for (const auto& effect : effects) effect();
}

void CoreRunner::Carry(const admission::Granted& action, Effects& effects) {
  auto found = open_.find(action.ticket);
  if (found == open_.end()) return;
  metrics_.Granted(action.queued);
  effects.push_back([done = std::move(found->second), granted = action] { done(granted); });
  open_.erase(found);
}

void CoreRunner::Carry(const admission::Refused& action, Effects& effects) {
  auto found = open_.find(action.ticket);
  if (found == open_.end()) return;
  metrics_.Refused(action.refusal);
  effects.push_back([done = std::move(found->second), status = ToStatus(action.refusal)] { done(status); });
  open_.erase(found);
}

void CoreRunner::Carry(const admission::Renewed& action, Effects&) { renewed_[action.call] = action; }

void CoreRunner::Carry(const admission::Greet& action, Effects& effects) {
  auto found = links_.find(action.link);
  if (found == links_.end()) return;
  effects.push_back([peer = found->second, epoch = action.epoch] { peer->Greet(epoch); });
}

void CoreRunner::Carry(const admission::Release& action, Effects& effects) {
  auto found = links_.find(action.link);
  if (found == links_.end()) return;
  effects.push_back([peer = found->second] { peer->Release(); });
}

void CoreRunner::Carry(const admission::CloseLink& action, Effects& effects) {
  auto found = links_.find(action.link);
  if (found == links_.end()) return;
  Log(LogLevel::kWarning, "scheduler", "closing a worker's link").With("reason", std::string(action.status.message()));
  effects.push_back([peer = found->second, status = action.status] { peer->Close(status); });
}

Ticket CoreRunner::Reserve(admission::Reserve event, ReserveDone done) {
  Effects effects;
  {
    std::lock_guard lock(mutex_);
    event.ticket = ++last_id_;
    open_.emplace(event.ticket, std::move(done));
    effects = ApplyLocked(event);
  }
  for (const auto& effect : effects) effect();
  return event.ticket;
}

void CoreRunner::CancelReserve(Ticket ticket) {
  ReserveDone done;
  Effects effects;
  {
    std::lock_guard lock(mutex_);
    auto found = open_.find(ticket);
    if (found == open_.end()) return;
    done = std::move(found->second);
    open_.erase(found);
    metrics_.Cancelled();
    effects = ApplyLocked(admission::CancelReserve{ticket});
  }
  done(absl::CancelledError("the caller left the queue"));
  for (const auto& effect : effects) effect();
}

admission::Renewed CoreRunner::Renew(const admission::GrantId& id, uint64_t epoch) {
  Effects effects;
  admission::Renewed renewed;
  {
    std::lock_guard lock(mutex_);
    const Ticket call = ++last_id_;
    effects = ApplyLocked(admission::Renew{call, id, epoch});
    renewed = renewed_.at(call);
    renewed_.erase(call);
  }
  for (const auto& effect : effects) effect();
  return renewed;
}

void CoreRunner::Void(const admission::GrantId& id) { Apply(admission::Void{id}); }

absl::StatusOr<admission::AdmitAnswer> CoreRunner::CanAdmit(const std::string& model,
                                                            const admission::Price& price) const {
  std::lock_guard lock(mutex_);
  return core_.CanAdmit(model, price, clock_.Now());
}

LinkId CoreRunner::OpenLink(std::shared_ptr<LinkPeer> peer) {
  std::lock_guard lock(mutex_);
  const LinkId link = ++last_id_;
  links_.emplace(link, std::move(peer));
  return link;
}

void CoreRunner::FromLink(LinkId link, const admission::Event& event, const v1::DeviceLedger* ledger) {
  Effects effects;
  {
    std::lock_guard lock(mutex_);
    // Closed from this side while the message was under way.
    if (!links_.contains(link)) return;
    effects = ApplyLocked(event);
    if (ledger != nullptr && ledger->lines_size() <= kLedgerLinesMax) {
      core_.Report(link, ReportOf(*ledger), clock_.Now());
      for (const auto& [name, worker] : core_.table().workers()) {
        if (worker.link == link) ledgers_[name] = *ledger;
      }
    }
  }
  for (const auto& effect : effects) effect();
}

void CoreRunner::EndLink(LinkId link) {
  Effects effects;
  {
    std::lock_guard lock(mutex_);
    if (links_.erase(link) == 0) return;
    effects = ApplyLocked(admission::LinkLost{link});
  }
  for (const auto& effect : effects) effect();
}

void CoreRunner::CloseLinks(const absl::Status& status) {
  std::vector<std::shared_ptr<LinkPeer>> peers;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [link, peer] : links_) peers.push_back(peer);
  }
  for (const auto& peer : peers) peer->Close(status);
}

void CoreRunner::Drain() { Apply(admission::Drain{}); }

v1::DeviceLedger CoreRunner::LedgerOf(const std::string& worker) const {
  std::lock_guard lock(mutex_);
  auto found = ledgers_.find(worker);
  return found == ledgers_.end() ? v1::DeviceLedger() : found->second;
}

admission::ClusterStatus CoreRunner::Status() const {
  std::lock_guard lock(mutex_);
  return core_.Status(clock_.Now());
}

CoreRunner::Moment CoreRunner::Past(const MomentQuery& query) const {
  std::lock_guard lock(mutex_);
  const admission::History& history = core_.history();
  Moment moment;
  moment.now = clock_.Now();
  moment.begin = history.Begin();
  const Duration covered = moment.now - moment.begin;
  moment.when = query.since_begin > Duration::zero() ? moment.begin + std::min(query.since_begin, covered)
                                                     : moment.now - std::min(query.age, covered);
  moment.workers = history.At(moment.when, query.worker, query.legs_max);
  for (const admission::PastWorker& worker : moment.workers) {
    moment.samples.emplace_back();
    if (query.span <= Duration::zero() || moment.workers.size() > kSampledWorkersMax) continue;
    const TimePoint from = moment.when - std::min(query.span, moment.when - moment.begin);
    moment.samples.back() = history.Range(worker.info.worker, from, moment.when, query.points_max);
  }
  return moment;
}

CoreRunner::PastRefusals CoreRunner::Refusals(const std::string& request_id, size_t count) const {
  std::lock_guard lock(mutex_);
  return {clock_.Now(), core_.history().Begin(), core_.refusals().Last(request_id, count)};
}

uint64_t CoreRunner::epoch() const {
  std::lock_guard lock(mutex_);
  return core_.epoch();
}

}  // namespace headroom::scheduler
