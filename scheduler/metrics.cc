#include "scheduler/metrics.h"

#include <algorithm>
#include <vector>

#include "admission/resources.h"

namespace headroom::scheduler {
namespace {

using admission::ClusterStatus;
using admission::Role;
using admission::WorkerState;
using admission::WorkerStatus;

constexpr char kDecisions[] = "headroom_scheduler_reserve_decisions_total";
constexpr char kNoBudget[] = "none";

// Every pair that SchedulerCore can answer with.
std::vector<std::pair<std::string, std::string>> Outcomes() {
  const std::vector<std::string> budgets = ClosedValues(FindMetric(MetricCatalogue(), kDecisions)->labels.back());
  std::vector<std::pair<std::string, std::string>> outcomes = {{"granted", kNoBudget}, {"cancelled", kNoBudget}};
  for (const RefusalReasonInfo& info : RefusalReasons()) {
    if (!info.IsOf("scheduler")) continue;
    outcomes.emplace_back(info.name, kNoBudget);
    for (const std::string& budget : info.Budgets()) {
      // Some are another service's.
      if (std::find(budgets.begin(), budgets.end(), budget) != budgets.end()) outcomes.emplace_back(info.name, budget);
    }
  }
  return outcomes;
}

double Value(int64_t number) { return static_cast<double>(number); }

void AddWorkerCounts(const ClusterStatus& status, std::vector<MetricSample>& samples) {
  for (Role role : {Role::kVision, Role::kLlm}) {
    const auto count = [&](auto&& matches) {
      return Value(std::count_if(status.workers.begin(), status.workers.end(), [&](const WorkerStatus& worker) {
        const auto& roles = worker.info.roles;
        return matches(worker) && std::find(roles.begin(), roles.end(), role) != roles.end();
      }));
    };
    const auto lost = [](const WorkerStatus& worker) {
      return !worker.linked && worker.state != WorkerState::kDraining;
    };
    samples.push_back({"headroom_scheduler_workers", {{"role", RoleName(role)}, {"state", "lost"}}, count(lost)});
    for (WorkerState state : {WorkerState::kLoading, WorkerState::kReady, WorkerState::kDraining}) {
      samples.push_back(
          {"headroom_scheduler_workers",
           {{"role", RoleName(role)}, {"state", StateName(state)}},
           count([state](const WorkerStatus& worker) { return worker.linked && worker.state == state; })});
    }
  }
}

void AddWorkerLoads(const ClusterStatus& status, std::vector<MetricSample>& samples) {
  for (const WorkerStatus& worker : status.workers) {
    samples.push_back(
        {"headroom_scheduler_worker_placeable", {{"worker", worker.info.worker}}, worker.placeable ? 1.0 : 0.0});
    for (const admission::Dimension& dimension : admission::kDimensions) {
      const int64_t capacity = worker.info.capacity.*dimension.member;
      if (capacity == 0) continue;
      samples.push_back({"headroom_scheduler_worker_reserved_ratio",
                         {{"worker", worker.info.worker}, {"resource", dimension.name}},
                         Value(worker.reserved.*dimension.member) / Value(capacity)});
    }
  }
}

std::vector<MetricSample> Samples(const ClusterStatus& status) {
  std::vector<MetricSample> samples = {
      {"headroom_scheduler_queue_entries", {}, Value(status.queue_entries)},
      {"headroom_scheduler_queue_limit_entries", {}, Value(status.queue_entries_max)},
      {"headroom_scheduler_grants", {{"state", "pending"}}, Value(status.grants_pending)},
      {"headroom_scheduler_grants", {{"state", "active"}}, Value(status.grants_active)},
      {"headroom_scheduler_epoch", {}, static_cast<double>(status.epoch)},
  };
  AddWorkerCounts(status, samples);
  AddWorkerLoads(status, samples);
  return samples;
}

}  // namespace

SchedulerMetrics::SchedulerMetrics(Metrics& metrics)
    : queue_wait_(metrics.AddHistogram("headroom_scheduler_queue_wait_seconds")) {
  for (const auto& [outcome, budget] : Outcomes()) {
    decisions_.emplace(std::pair(outcome, budget),
                       metrics.AddCounter(kDecisions, {{"outcome", outcome}, {"budget", budget}}));
  }
}

void SchedulerMetrics::Count(const std::string& outcome, const std::string& budget) {
  auto found = decisions_.find({outcome, budget});
  if (found == decisions_.end()) found = decisions_.find({outcome, kNoBudget});
  found->second.Increment();
}

void SchedulerMetrics::Granted(admission::milliseconds queued) {
  Count("granted", kNoBudget);
  queue_wait_.Observe(std::chrono::duration<double>(queued).count());
}

void SchedulerMetrics::Refused(const admission::Refusal& refusal) {
  Count(NameOf(refusal.reason), refusal.shortfall ? refusal.shortfall->budget : kNoBudget);
}

void SchedulerMetrics::Cancelled() { Count("cancelled", kNoBudget); }

std::shared_ptr<void> SchedulerMetrics::Follow(Metrics& metrics, std::function<ClusterStatus()> status) {
  return metrics.AddCollector([status = std::move(status)] { return Samples(status()); });
}

}  // namespace headroom::scheduler
