// What the lives of requests share: the gateway's services to them, and what is measured of each.
#pragma once

#include <optional>

#include "common/async/executor.h"
#include "common/async/timers.h"
#include "common/clock.h"
#include "common/config.h"
#include "gateway/cluster_view.h"
#include "gateway/grant_keeper.h"
#include "gateway/host_budget.h"
#include "gateway/peers.h"
#include "gateway/served_model.h"

namespace headroom::gateway {

struct PipelineParts {
  const GatewaySection& config;
  const ServedModels& models;
  Peers& peers;
  GrantKeeper& grants;
  ClusterView& cluster;
  HostBudget& host_budget;
  Clock& clock;
  Executor& executor;  // steps between waits: short
  Timers& timers;
};

// What a request took, for metrics; times count from its first question to the scheduler.
struct RequestTimes {
  std::optional<double> queued_seconds;
  std::optional<double> first_token_seconds;
  std::optional<double> last_token_seconds;  // as far as tokens came
};

}  // namespace headroom::gateway
