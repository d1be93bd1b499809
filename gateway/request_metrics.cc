#include "gateway/request_metrics.h"

#include "common/error_details.h"

namespace headroom::gateway {
namespace {

constexpr char kNoBudget[] = "none";
constexpr char kNoModel[] = "none";

const std::map<absl::StatusCode, const char*>& OutcomeNames() {
  static const std::map<absl::StatusCode, const char*> names = {
      {absl::StatusCode::kOk, "ok"},
      {absl::StatusCode::kCancelled, "cancelled"},
      {absl::StatusCode::kInvalidArgument, "invalid_argument"},
      {absl::StatusCode::kNotFound, "not_found"},
      {absl::StatusCode::kDeadlineExceeded, "deadline_exceeded"},
      {absl::StatusCode::kResourceExhausted, "resource_exhausted"},
      {absl::StatusCode::kFailedPrecondition, "failed_precondition"},
      {absl::StatusCode::kUnavailable, "unavailable"},
      {absl::StatusCode::kInternal, "internal"},
  };
  return names;
}

}  // namespace

RequestMetrics::OfModel RequestMetrics::Count(const std::string& model, Metrics& metrics) {
  OfModel counters{
      .outcomes = {},
      .prompt_tokens = metrics.AddCounter("headroom_gateway_prompt_tokens_total", {{"model", model}}),
      .completion_tokens = metrics.AddCounter("headroom_gateway_completion_tokens_total", {{"model", model}})};
  for (const auto& [code, name] : OutcomeNames()) {
    counters.outcomes.emplace(
        code, metrics.AddCounter("headroom_gateway_requests_total", {{"model", model}, {"outcome", name}}));
  }
  return counters;
}

RequestMetrics::RequestMetrics(const ServedModels& models, Metrics& metrics)
    : running(metrics.AddGauge("headroom_gateway_requests_running")),
      models_(models),
      none_(Count(kNoModel, metrics)),
      queue_seconds_(metrics.AddHistogram("headroom_gateway_queue_seconds")),
      first_token_seconds_(metrics.AddHistogram("headroom_gateway_time_to_first_token_seconds")),
      output_token_seconds_(metrics.AddHistogram("headroom_gateway_time_per_output_token_seconds")),
      duration_seconds_(metrics.AddHistogram("headroom_gateway_request_seconds")),
      images_(metrics.AddCounter("headroom_gateway_images_total")),
      pieces_(metrics.AddCounter("headroom_gateway_pieces_total")) {
  for (const auto& model : models.all()) of_models_.emplace(model.get(), Count(model->name, metrics));
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

void RequestMetrics::RecordEnd(OfModel& model, const absl::Status& status) {
  const auto outcome = model.outcomes.find(status.code());
  (outcome == model.outcomes.end() ? model.outcomes.at(absl::StatusCode::kInternal) : outcome->second).Increment();
  const std::optional<RefusalReason> reason = ReasonOf(status);
  if (!reason) return;
  const auto metadata = GetDetails(status).metadata;
  const auto budget = metadata.find("budget");
  const auto counter = refusals_.find({*reason, budget == metadata.end() ? kNoBudget : budget->second});
  (counter == refusals_.end() ? refusals_.at({*reason, kNoBudget}) : counter->second).Increment();
}

void RequestMetrics::Record(const std::string& model, const absl::Status& status, const v1::Usage& usage,
                            const RequestTimes& times, double seconds) {
  const absl::StatusOr<const ServedModel*> asked = models_.Find(model);
  OfModel& of_model = asked.ok() ? of_models_.at(*asked) : none_;
  RecordEnd(of_model, status);
  duration_seconds_.Observe(seconds);
  if (times.queued_seconds) queue_seconds_.Observe(*times.queued_seconds);
  if (times.first_token_seconds) first_token_seconds_.Observe(*times.first_token_seconds);
  if (times.last_token_seconds && usage.completion_tokens() > 1) {
    output_token_seconds_.Observe((*times.last_token_seconds - *times.first_token_seconds) /
                                  static_cast<double>(usage.completion_tokens() - 1));
  }
  of_model.prompt_tokens.Increment(static_cast<double>(usage.prompt_tokens()));
  of_model.completion_tokens.Increment(static_cast<double>(usage.completion_tokens()));
  images_.Increment(static_cast<double>(usage.images()));
  pieces_.Increment(static_cast<double>(usage.pieces()));
}

}  // namespace headroom::gateway
