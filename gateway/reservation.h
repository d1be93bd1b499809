// How a request comes by its grant: the scheduler is asked, also over a restart of it, and nothing that it may have
// granted without an answer is left behind.
#pragma once

#include <memory>
#include <string>

#include "admission/grant.h"
#include "gateway/attempts.h"
#include "gateway/pipeline_parts.h"
#include "headroom/v1/common.pb.h"
#include "headroom/v1/scheduler.pb.h"

namespace headroom::gateway {

// What is asked for; must outlive the task.
struct ReservationRequest {
  const v1::RequestContext& context;
  const ServedModel& model;
  const admission::Price& price;
  const Attempts& attempts;
  const CallScope& scope;
  TimePoint started;  // of the request: its place in the queue, once it has moved
};

class Reservations {
 public:
  explicit Reservations(const PipelineParts& parts) : parts_(parts) {}

  // The grant, or the scheduler's refusal. Asks again for as long as the request may wait for room
  // (gateway.queue_wait_ms_max, the deadline) where the scheduler is away; CANCELLED when the client leaves.
  Task<absl::StatusOr<std::unique_ptr<HeldGrant>>> Reserve(const ReservationRequest& request) const;

 private:
  Task<absl::StatusOr<v1::ReserveResponse>> AskScheduler(v1::ReserveRequest& reserve,
                                                         const ReservationRequest& request) const;
  // One Reserve call. Where it leaves open whether the scheduler made a grant, that is voided.
  Task<absl::StatusOr<v1::ReserveResponse>> AskOnce(v1::ReserveRequest& reserve, const CallScope& scope) const;

  const PipelineParts parts_;
};

}  // namespace headroom::gateway
