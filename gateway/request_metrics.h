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
  RequestMetrics(const ServedModels& models, Metrics& metrics);
  // `model`: as the request names it.
  void Record(const std::string& model, const absl::Status& status, const v1::Usage& usage, const RequestTimes& times,
              double seconds);
  // How it ended; enough for a request that was not read.
  void RecordEnd(const absl::Status& status) { RecordEnd(none_, status); }

  Gauge running;

 private:
  struct OfModel {
    std::map<absl::StatusCode, Counter> outcomes;
    Counter prompt_tokens, completion_tokens;
  };
  static OfModel Count(const std::string& model, Metrics& metrics);
  void RecordEnd(OfModel& model, const absl::Status& status);

  const ServedModels& models_;
  std::map<const ServedModel*, OfModel> of_models_;
  OfModel none_;
  std::map<std::pair<RefusalReason, std::string>, Counter> refusals_;  // by reason and budget
  Histogram queue_seconds_, first_token_seconds_, output_token_seconds_, duration_seconds_;
  Counter images_, pieces_;
};

}  // namespace headroom::gateway
