#include "admission/grant_holder.h"

#include <algorithm>

namespace headroom::admission {
namespace {

constexpr milliseconds kTtlMax{24 * 3600 * 1000};

}  // namespace

GrantHolder::GrantHolder(Grant grant, TimePoint received_at) : grant_(std::move(grant)) {
  CountFrom(received_at, grant_.ttl);
}

void GrantHolder::CountFrom(TimePoint start, milliseconds ttl) {
  ttl = std::clamp(ttl, milliseconds(0), kTtlMax);
  usable_until_ = start + ttl * 9 / 10;
  renew_at_ = start + ttl / 2;
}

Grant GrantHolder::Forward(TimePoint now) const {
  Grant forwarded = grant_;
  forwarded.ttl = milliseconds(std::max<int64_t>(0, Milliseconds(usable_until_ - now)));
  return forwarded;
}

void GrantHolder::Renewed(TimePoint sent_at, milliseconds ttl) { CountFrom(sent_at, ttl); }

void GrantHolder::MarkActivated(Role role) {
  if (grant_.Find(role) != nullptr && !IsActivated(role)) activated_.push_back(role);
}

bool GrantHolder::IsActivated(Role role) const {
  return std::find(activated_.begin(), activated_.end(), role) != activated_.end();
}

bool GrantHolder::AnyPending() const { return activated_.size() < grant_.legs.size(); }

}  // namespace headroom::admission
