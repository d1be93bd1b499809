// Keeps the grants of running requests alive: one thread renews those whose legs are not all active yet, and a grant
// that a request lets go of is voided at the scheduler, whatever way out the request took.
#pragma once

#include <condition_variable>
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
  // All grants must be gone.
  ~GrantKeeper();

  std::unique_ptr<HeldGrant> Hold(admission::Grant grant, TimePoint received_at);

 private:
  friend class HeldGrant;

  void Run();
  void RenewDue();
  void Drop(HeldGrant* held);

  SchedulerClient& scheduler_;
  Clock& clock_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::set<HeldGrant*> held_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace headroom::gateway
