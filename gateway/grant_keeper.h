// Keeps the grants of running requests alive: one thread renews those whose legs are not all active yet, and a grant
// that a request lets go of is voided at the scheduler, whatever way out the request took. The same thread voids grants
// whose Reserve ended without an answer: the scheduler may have made them.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

#include "admission/grant_holder.h"
#include "common/clock.h"
#include "gateway/clients.h"

namespace headroom::gateway {

class GrantKeeper;

// A grant in the hands of one request. Thread-safe. Destruction voids the legs that were never activated.
class HeldGrant {
 public:
  HeldGrant(GrantKeeper* keeper, admission::Grant grant, TimePoint received_at);
  ~HeldGrant();
  HeldGrant(const HeldGrant&) = delete;
  HeldGrant& operator=(const HeldGrant&) = delete;

  // The leg of `role`, or nullptr.
  const admission::Leg* Find(admission::Role role) const { return holder_.grant().Find(role); }
  // The grant as a worker must get it now. UNAVAILABLE when it has expired.
  absl::StatusOr<v1::Grant> Forward();
  void MarkActivated(admission::Role role);

 private:
  friend class GrantKeeper;

  GrantKeeper* const keeper_;
  std::mutex mutex_;
  admission::GrantHolder holder_;
};

class GrantKeeper {
 public:
  GrantKeeper(SchedulerClient& scheduler, Clock& clock);
  // All grants must be gone. Sends the voids that wait, as far as the scheduler takes them.
  ~GrantKeeper();

  std::unique_ptr<HeldGrant> Hold(admission::Grant grant, TimePoint received_at);
  // Nobody knows whether the scheduler made this grant: its Reserve ended without an answer. Returns at once; a void
  // that fails, or is one too many, leaves the grant to its expiry.
  void VoidUnknown(const v1::GrantId& id);

 private:
  friend class HeldGrant;

  void Run();
  // Those that wait, up to the first that fails.
  void SendVoids();
  absl::Status SendVoid(const v1::VoidRequest& request);
  void RenewDue();
  void Drop(HeldGrant* held);

  SchedulerClient& scheduler_;
  Clock& clock_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::set<HeldGrant*> held_;
  std::deque<v1::GrantId> unknown_;  // to be voided
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace headroom::gateway
