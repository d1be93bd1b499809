// What main() of every service does: read flags and the configuration, start, wait for SIGTERM or SIGINT, drain with a
// deadline.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
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

// How the process comes to its end, told by signals and by the service itself. Thread-safe.
class ProcessEnd {
 public:
  // Fires with the first SIGTERM or SIGINT, which may come while the service still starts.
  std::stop_token stopping() const { return stop_.get_token(); }
  // The service cannot go on: it is stopped without a drain, and the process ends with status 1 and this message. The
  // first call counts.
  void Fail(absl::Status status);
  bool failed() const;

  // For the main thread: blocks until one of the two has happened; the failure if there is one.
  absl::Status Wait();
  void RequestStop();

 private:
  std::stop_source stop_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<absl::Status> failure_;
  bool requested_ = false;
};

// Builds and starts a service. Returns once it answers; what takes longer (weights) goes on behind it. A start that
// ends early because of process.stopping() may return any error.
using StartService =
    std::function<absl::StatusOr<std::unique_ptr<RunningService>>(const ClusterConfig& config, ProcessEnd& process)>;

// The exit status is 0 after SIGTERM or SIGINT, be it during the start or after a drain, 1 when the start failed or the
// service could not go on, 2 for bad flags or a bad configuration. A second signal ends the process at once. Flags:
// --config FILE, --set section.key=value.
int ServiceMain(int argc, char** argv, const std::string& name, const std::string& description,
                const StartService& start);

// The same after the flags: for programs with flags of their own.
int RunUntilSignal(const ClusterConfig& config, const std::string& name, const StartService& start);

// headroom_config_info. Once per process is enough; more does no harm.
void ExportConfig(const ClusterConfig& config, Metrics& metrics);

}  // namespace headroom
