// What main() of every service does: read flags and the configuration, start, wait for SIGTERM or SIGINT, drain with a
// deadline.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "common/clock.h"
#include "common/config.h"
#include "common/metrics.h"
#include "common/status.h"

namespace headroom {

// A running service, or several in one process.
class RunningService {
 public:
  virtual ~RunningService() = default;
  // Takes no new work, lets running streams finish until `deadline` has passed, then cancels the rest. Called once.
  virtual void Stop(Duration deadline) = 0;
};

// `start` builds and starts; it returns once the service answers. The exit status is 0 after a drain, 1 when the start
// failed, 2 for bad flags or a bad configuration. A second signal during the drain ends the process at once. Flags:
// --config FILE, --set section.key=value.
int ServiceMain(int argc, char** argv, const std::string& name, const std::string& description,
                const std::function<absl::StatusOr<std::unique_ptr<RunningService>>(const ClusterConfig&)>& start);

// The same after the flags: for programs with flags of their own.
int RunUntilSignal(const ClusterConfig& config, const std::string& name,
                   const std::function<absl::StatusOr<std::unique_ptr<RunningService>>(const ClusterConfig&)>& start);

// headroom_config_info. Once per process is enough; more does no harm.
void ExportConfig(const ClusterConfig& config, Metrics& metrics);

}  // namespace headroom
