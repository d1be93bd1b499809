// The scheduler's Prometheus families, all made at start. Label values come from closed sets, but for worker names,
// which the core bounds in number.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "admission/scheduler_core.h"
#include "common/metrics.h"

namespace headroom::scheduler {

// Thread-safe after construction.
class SchedulerMetrics {
 public:
  explicit SchedulerMetrics(Metrics& metrics);

  void Granted(admission::milliseconds queued);
  void Refused(const admission::Refusal& refusal);
  void Cancelled();

  // Gauges are read from `status` at scrape time; drop the token before what `status` reads dies.
  [[nodiscard]] static std::shared_ptr<void> Follow(Metrics& metrics, std::function<admission::ClusterStatus()> status);

 private:
  void Count(const std::string& outcome, const std::string& budget);

  std::map<std::pair<std::string, std::string>, Counter> decisions_;  // outcome, budget
  Histogram queue_wait_;
};

}  // namespace headroom::scheduler
