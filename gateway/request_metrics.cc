#include "gateway/request_metrics.h"

#include "common/error_details.h"

namespace headroom::gateway {
namespace {

constexpr char kNoBudget[] = "none";

const std::map<absl::StatusCode, const char*>& OutcomeNames() {
  static const std::map<absl::StatusCode, const char*> names = {
      {absl::StatusCode::kOk, "ok"},
      {absl::StatusCode::kCancelled, "cancelled"},
      {absl::StatusCode::kInvalidArgument, "invalid_argument"},
      {absl::StatusCode::kDeadlineExceeded, "deadline_exceeded"},
      {absl::StatusCode::kResourceExhausted, "resource_exhausted"},
      {absl::StatusCode::kFailedPrecondition, "failed_precondition"},
      {absl::StatusCode::kUnavailable, "unavailable"},
      {absl::StatusCode::kInternal, "internal"},
  };
  return names;
}

}  // namespace

RequestMetrics::RequestMetrics(Metrics& metrics)
    : running(metrics.AddGauge("headroom_gateway_requests_running")),
      queue_seconds_(metrics.AddHistogram("headroom_gateway_queue_seconds")),
      first_token_seconds_(metrics.AddHistogram("headroom_gateway_time_to_first_token_seconds")),
      output_token_seconds_(metrics.AddHistogram("headroom_gateway_time_per_output_token_seconds")),
      duration_seconds_(metrics.AddHistogram("headroom_gateway_request_seconds")),
      prompt_tokens_(metrics.AddCounter("headroom_gateway_prompt_tokens_total")),
      completion_tokens_(metrics.AddCounter("headroom_gateway_completion_tokens_total")),
      images_(metrics.AddCounter("headroom_gateway_images_total")),
      pieces_(metrics.AddCounter("headroom_gateway_pieces_total")) {
  for (const auto& [code, name] : OutcomeNames()) {
    outcomes_.emplace(code, metrics.AddCounter("headroom_gateway_requests_total", {{"outcome", name}}));
  }
  for (const RefusalReasonInfo& info : RefusalReasons()) {
    std::vector<std::string> budgets = info.Budgets();
    budgets.emplace_back(kNoBudget);
    for (const std::string& budget : budgets) {
      refusals_.emplace(
          std::pair(info.reason, budget),
          metrics.AddCounter("headroom_gateway_refusals_total", {{"reason", info.name}, {"budget", budget}}));
    }
  }
}

void RequestMetrics::RecordEnd(const absl::Status& status) {
  Outcome(status.code()).Increment();
  const std::optional<RefusalReason> reason = ReasonOf(status);
  if (!reason) return;
  const auto metadata = GetDetails(status).metadata;
  const auto budget = metadata.find("budget");
  const auto counter = refusals_.find({*reason, budget == metadata.end() ? kNoBudget : budget->second});
  (counter == refusals_.end() ? refusals_.at({*reason, kNoBudget}) : counter->second).Increment();
}

Counter& RequestMetrics::Outcome(absl::StatusCode code) {
  const auto found = outcomes_.find(code);
  return found == outcomes_.end() ? outcomes_.at(absl::StatusCode::kInternal) : found->second;
}

void RequestMetrics::Record(const absl::Status& status, const v1::Usage& usage, const RequestTimes& times,
                            double seconds) {
  RecordEnd(status);
  duration_seconds_.Observe(seconds);
  if (times.queued_seconds) queue_seconds_.Observe(*times.queued_seconds);
  if (times.first_token_seconds) first_token_seconds_.Observe(*times.first_token_seconds);
  if (times.last_token_seconds && usage.completion_tokens() > 1) {
    output_token_seconds_.Observe((*times.last_token_seconds - *times.first_token_seconds) /
                                  static_cast<double>(usage.completion_tokens() - 1));
  }
  prompt_tokens_.Increment(static_cast<double>(usage.prompt_tokens()));
  completion_tokens_.Increment(static_cast<double>(usage.completion_tokens()));
  images_.Increment(static_cast<double>(usage.images()));
  pieces_.Increment(static_cast<double>(usage.pieces()));
}

}  // namespace headroom::gateway
