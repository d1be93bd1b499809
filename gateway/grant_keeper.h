// Keeps the grants of running requests alive: one thread renews those whose legs are not all active yet, and a grant
// that a request releases is voided at the scheduler, whatever way out the request took. The same thread voids grants
// whose Reserve ended without an answer: the scheduler may have made them.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "admission/grant_holder.h"
#include "common/async/task.h"
#include "common/clock.h"
#include "gateway/peers.h"
#include "gateway/scheduler_client.h"

namespace headroom::gateway {

class GrantKeeper;

// A grant in the hands of one request. Thread-safe. GrantKeeper::Release() must have been awaited before it dies.
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
  GrantKeeper(SchedulerClient& scheduler, Peers& peers, Clock& clock);
  // All grants must be gone. Sends the voids that wait, as far as the scheduler takes them.
  ~GrantKeeper();

  std::unique_ptr<HeldGrant> Hold(admission::Grant grant, TimePoint received_at);
  // The request is done with it. Voids the legs that were never activated, and waits until the scheduler has them back:
  // the next Reserve of the same request finds their room. How the void ended; a failed one leaves them to their
  // expiry.
  Task<absl::Status> Release(HeldGrant& held);
  // Nobody knows whether the scheduler made this grant: its Reserve ended without an answer. Returns at once; a void
  // that fails, or is one too many, leaves the grant to its expiry.
  void VoidUnknown(const v1::GrantId& id);

 private:
  friend class HeldGrant;

  void Run();
  // Of those that wait, up to the first that fails.
  void SendVoids(size_t count);
  void RenewDue();
  void Forget(const HeldGrant& held);

  SchedulerClient& scheduler_;
  Peers& peers_;
  Clock& clock_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::map<admission::GrantId, HeldGrant*> held_;
  std::deque<v1::GrantId> unknown_;  // to be voided
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace headroom::gateway
