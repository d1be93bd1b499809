#include "gateway/grant_keeper.h"

#include "admission/link/convert.h"
#include "common/log.h"

namespace headroom::gateway {
namespace {

// Shorter than any sensible grant_ttl_ms / 2, so that a renewal is never late by much.
constexpr std::chrono::milliseconds kTick(50);
constexpr std::chrono::milliseconds kCallTimeout(2'000);
// As many as requests can run at once: all of them may be cut short together.
constexpr size_t kUnknownMax = 65'536;
// Between two looks at what must be renewed.
constexpr size_t kVoidsAtOnce = 64;

// The scheduler reclaims it at its expiry all the same.
void LogFailedVoid(const absl::Status& status) {
  if (!status.ok()) Log(LogLevel::kWarning, "gateway", "void failed").With("error", status.ToString());
}

}  // namespace

HeldGrant::HeldGrant(GrantKeeper* keeper, admission::Grant grant, TimePoint received_at)
    : keeper_(keeper), holder_(std::move(grant), received_at) {}

HeldGrant::~HeldGrant() { keeper_->Forget(*this); }

absl::StatusOr<v1::Grant> HeldGrant::Forward() {
  std::lock_guard lock(mutex_);
  const TimePoint now = keeper_->clock_.Now();
  if (holder_.Expired(now)) return absl::UnavailableError("the grant expired before the worker saw it");
  return admission::ToProto(holder_.Forward(now));
}

void HeldGrant::MarkActivated(admission::Role role) {
  std::lock_guard lock(mutex_);
  if (!holder_.IsActivated(role)) holder_.MarkActivated(role);
}

GrantKeeper::GrantKeeper(SchedulerClient& scheduler, Peers& peers, Clock& clock)
    : scheduler_(scheduler), peers_(peers), clock_(clock), thread_([this] { Run(); }) {}

GrantKeeper::~GrantKeeper() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

std::unique_ptr<HeldGrant> GrantKeeper::Hold(admission::Grant grant, TimePoint received_at) {
  auto held = std::make_unique<HeldGrant>(this, std::move(grant), received_at);
  std::lock_guard lock(mutex_);
  held_[held->holder_.grant().id] = held.get();
  wake_.notify_all();
  return held;
}

// RenewDue() holds the lock while it looks at grants, so after this nobody else uses `held`.
void GrantKeeper::Forget(const HeldGrant& held) {
  std::lock_guard lock(mutex_);
  held_.erase(held.holder_.grant().id);
}

Task<absl::Status> GrantKeeper::Release(HeldGrant& held) {
  Forget(held);
  if (!held.holder_.NeedsVoid()) co_return absl::OkStatus();
  v1::VoidRequest request;
  *request.mutable_id() = admission::ToProto(held.holder_.grant().id);
  request.mutable_epoch()->set_cluster_id(held.holder_.grant().cluster_id);
  request.mutable_epoch()->set_number(held.holder_.grant().epoch);
  const absl::Status status = co_await peers_.Void(request);
  LogFailedVoid(status);
  co_return status;
}

void GrantKeeper::VoidUnknown(const v1::GrantId& id) {
  std::lock_guard lock(mutex_);
  if (unknown_.size() >= kUnknownMax) return;
  unknown_.push_back(id);
  wake_.notify_all();
}

void GrantKeeper::SendVoids(size_t count) {
  for (size_t i = 0; i < count; ++i) {
    v1::VoidRequest request;
    {
      std::lock_guard lock(mutex_);
      if (unknown_.empty()) return;
      *request.mutable_id() = unknown_.front();
      unknown_.pop_front();
    }
    const absl::Status status = scheduler_.Void(request, kCallTimeout);
    LogFailedVoid(status);
    // A scheduler that does not answer must not keep renewals waiting behind all of these.
    if (!status.ok()) return;
  }
}

void GrantKeeper::Run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (held_.empty()) {
      wake_.wait(lock, [this] { return stopping_ || !held_.empty() || !unknown_.empty(); });
    } else {
      wake_.wait_for(lock, kTick, [this] { return stopping_ || !unknown_.empty(); });
    }
    lock.unlock();
    SendVoids(kVoidsAtOnce);
    RenewDue();
    lock.lock();
  }
  lock.unlock();
  SendVoids(kUnknownMax);
}

void GrantKeeper::RenewDue() {
  struct Due {
    admission::GrantId id;
    v1::RenewRequest request;
  };
  std::vector<Due> due;
  const TimePoint now = clock_.Now();
  {
    std::lock_guard lock(mutex_);
    for (const auto& [id, held] : held_) {
      std::lock_guard held_lock(held->mutex_);
      if (now < held->holder_.RenewAt() || held->holder_.Expired(now)) continue;
      Due one;
      one.id = id;
      *one.request.mutable_id() = admission::ToProto(one.id);
      one.request.mutable_epoch()->set_cluster_id(held->holder_.grant().cluster_id);
      one.request.mutable_epoch()->set_number(held->holder_.grant().epoch);
      due.push_back(std::move(one));
    }
  }
  for (const Due& one : due) {
    const TimePoint sent_at = clock_.Now();
    const auto renewed = scheduler_.Renew(one.request, kCallTimeout);
    // A grant that cannot be renewed runs out by its own clock; the next Forward() says so.
    if (!renewed.ok()) continue;
    std::lock_guard lock(mutex_);
    const auto held = held_.find(one.id);
    if (held == held_.end()) continue;
    std::lock_guard held_lock(held->second->mutex_);
    held->second->holder_.Renewed(sent_at, std::chrono::milliseconds(renewed->ttl_ms()));
  }
}

}  // namespace headroom::gateway
