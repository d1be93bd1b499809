// What the gateway counts of its requests, whatever edge they came by.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "common/metrics.h"
#include "common/refusal_reason.h"
#include "common/status.h"
#include "gateway/pipeline.h"
#include "headroom/v1/gateway.pb.h"

namespace headroom::gateway {

// Thread-safe.
class RequestMetrics {
 public:
  explicit RequestMetrics(Metrics& metrics);
  void Record(const absl::Status& status, const v1::Usage& usage, const RequestTimes& times, double seconds);
  // How it ended; enough for a request that never ran.
  void RecordEnd(const absl::Status& status);

  Gauge running;

 private:
  Counter& Outcome(absl::StatusCode code);

  std::map<absl::StatusCode, Counter> outcomes_;
  std::map<std::pair<RefusalReason, std::string>, Counter> refusals_;  // by reason and budget
  Histogram queue_seconds_, first_token_seconds_, output_token_seconds_, duration_seconds_;
  Counter prompt_tokens_, completion_tokens_, images_, pieces_;
};

}  // namespace headroom::gateway
