#include "gateway/reservation.h"

#include <algorithm>
#include <chrono>

#include "admission/link/convert.h"
#include "common/error_details.h"
#include "common/random.h"
#include "gateway/own_refusals.h"

namespace headroom::gateway {
namespace {

constexpr std::chrono::milliseconds kRetryMin(50);
constexpr std::chrono::milliseconds kRetryMax(1'000);

// The scheduler is on its way out, or cannot be reached: it comes back, or another one in its place. Other refusals are
// its decision.
bool SchedulerIsAway(const absl::Status& status) {
  if (!absl::IsUnavailable(status)) return false;
  return GetDetails(status).reason.empty() || ReasonOf(status) == RefusalReason::kDraining;
}

// The scheduler knows models by their fingerprints, clients by name.
absl::Status Named(const absl::Status& status, const ServedModel& model) {
  const std::optional<RefusalReason> reason = ReasonOf(status);
  const bool of_model =
      reason == RefusalReason::kNoWorker || reason == RefusalReason::kDraining || reason == RefusalReason::kQueueFull;
  if (!of_model) return status;
  absl::Status named(status.code(), absl::StrCat("model '", model.name, "': ", status.message()));
  status.ForEachPayload(
      [&named](absl::string_view type, const absl::Cord& payload) { named.SetPayload(type, payload); });
  return named;
}

absl::Status Cancelled() { return absl::CancelledError("the request was cancelled"); }

}  // namespace

Task<absl::StatusOr<std::unique_ptr<HeldGrant>>> Reservations::Reserve(const ReservationRequest& request) const {
  v1::ReserveRequest reserve;
  *reserve.mutable_context() = request.context;
  reserve.mutable_model()->set_sha256(request.model.fingerprint);
  *reserve.mutable_price() = admission::ToProto(request.price);
  for (const std::string& worker : request.attempts.excluded()) reserve.add_exclude_workers(worker);
  reserve.set_resume(request.attempts.moved());
  const auto response = co_await AskScheduler(reserve, request);
  if (!response.ok()) co_return Named(response.status(), request.model);
  const TimePoint received_at = parts_.clock.Now();
  absl::StatusOr<admission::Grant> grant = admission::FromProto(response->grant());
  if (!grant.ok()) {
    parts_.grants.VoidUnknown(reserve.grant_id());
    co_return grant.status();
  }
  co_return parts_.grants.Hold(*std::move(grant), received_at);
}

// A scheduler that restarts costs time and no request: it is asked again for as long as the request may wait for room.
Task<absl::StatusOr<v1::ReserveResponse>> Reservations::AskScheduler(v1::ReserveRequest& reserve,
                                                                     const ReservationRequest& request) const {
  const CallScope& scope = request.scope;
  const TimePoint asked = parts_.clock.Now();
  const TimePoint give_up = asked + std::chrono::milliseconds(parts_.config.queue_wait_ms_max);
  for (std::chrono::milliseconds pause = kRetryMin;; pause = std::min(2 * pause, kRetryMax)) {
    if (scope.stop.stop_requested()) co_return Cancelled();
    const TimePoint now = parts_.clock.Now();
    const Duration left = scope.deadline - std::chrono::system_clock::now();
    if (left <= Duration::zero()) co_return absl::DeadlineExceededError("the request's deadline has passed");
    // No grant for a caller that has left. The place in the queue is that of the first question.
    reserve.set_wait_ms_max(std::max<int64_t>(1, Milliseconds(std::min(give_up - now, left))));
    reserve.set_queued_ms(Milliseconds(now - (request.attempts.moved() ? request.started : asked)));
    auto response = co_await AskOnce(reserve, scope);
    if (response.ok() || !SchedulerIsAway(response.status())) co_return response;
    if (now + pause >= give_up || std::chrono::system_clock::now() + pause >= scope.deadline) {
      // How a call broke names the scheduler's address, which is not the client's business.
      if (ReasonOf(response.status()).has_value()) co_return response;
      co_return OwnRefusal(RefusalReason::kNoScheduler, "the scheduler cannot be reached", {}, kRetryMax);
    }
    const bool paused = co_await Pause(parts_.executor, parts_.timers, pause, scope.stop);
    if (!paused) co_return Cancelled();
  }
}

Task<absl::StatusOr<v1::ReserveResponse>> Reservations::AskOnce(v1::ReserveRequest& reserve,
                                                                const CallScope& scope) const {
  // Not the request's id: a client chooses that one, and must not be able to void what is another's.
  reserve.mutable_grant_id()->set_high(SystemRandom().Next());
  reserve.mutable_grant_id()->set_low(SystemRandom().Next());
  auto response = co_await parts_.peers.Reserve(reserve, scope);
  // A refusal gives its reason. Without one the call broke or was cut short, perhaps after the decision.
  if (!response.ok() && GetDetails(response.status()).reason.empty()) {
    parts_.grants.VoidUnknown(reserve.grant_id());
  }
  co_return response;
}

}  // namespace headroom::gateway
