// The gateway's side of a grant: until when it is good, when to renew it, what to forward to a worker and what to void
// at the end. Pure; one request owns one holder, one thread at a time.
//
// The holder stops using a pending grant at 0.9 · ttl after it got the message; the scheduler takes the room back only
// after 1.1 · ttl and a round trip, so neither clock rate nor transit lets both sides use the room.
#pragma once

#include "admission/grant.h"
#include "common/clock.h"

namespace headroom::admission {

class GrantHolder {
 public:
  // `received_at`: when the answer of Reserve arrived.
  GrantHolder(Grant grant, TimePoint received_at);

  const Grant& grant() const { return grant_; }

  // The grant as a worker must get it now: its ttl is what is left.
  Grant Forward(TimePoint now) const;

  // Legs not yet activated are no longer good: the caller must not present them, and asks for a new grant.
  bool Expired(TimePoint now) const { return AnyPending() && now >= usable_until_; }

  // When Renew should be sent: half of the ttl after the last answer. TimePoint::max() when every leg is active.
  TimePoint RenewAt() const { return AnyPending() ? renew_at_ : TimePoint::max(); }
  // Renew was answered. Counted from when it was *sent*: the scheduler cannot have handled it earlier.
  void Renewed(TimePoint sent_at, milliseconds ttl);

  // The worker took the leg (its first answer says so); from now on the worker alone ends it.
  void MarkActivated(Role role);
  bool IsActivated(Role role) const;

  // On every exit path: true when some leg is not known to be active, so Void must be sent. Void leaves active legs
  // alone, so a leg whose activation is unknown (the call broke) is voided too.
  bool NeedsVoid() const { return AnyPending(); }

 private:
  bool AnyPending() const;
  void CountFrom(TimePoint start, milliseconds ttl);

  Grant grant_;
  TimePoint usable_until_;
  TimePoint renew_at_;
  std::vector<Role> activated_;
};

}  // namespace headroom::admission
