#include "common/service_main.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>

#include "common/flags.h"
#include "common/log.h"

namespace headroom {
namespace {

// Longest time that streams get to finish after SIGTERM.
constexpr std::chrono::seconds kDrainDeadline(30);

LogLevel ParseLevel(const std::string& level) {
  if (level == "debug") return LogLevel::kDebug;
  if (level == "warning") return LogLevel::kWarning;
  if (level == "error") return LogLevel::kError;
  return LogLevel::kInfo;
}

// Second signal: no time for anything that is not async-signal-safe.
void ExitNow(int) { _exit(1); }

int Fail(const std::string& name, const absl::Status& status, int exit_status) {
  fprintf(stderr, "%s: %s\n", name.c_str(), std::string(status.message()).c_str());
  return exit_status;
}

}  // namespace

int RunUntilSignal(const ClusterConfig& config, const std::string& name,
                   const std::function<absl::StatusOr<std::unique_ptr<RunningService>>(const ClusterConfig&)>& start) {
  SetLogLevel(ParseLevel(config.log.level));
  signal(SIGPIPE, SIG_IGN);
  // Blocked before any thread exists, so that every thread inherits it and only sigwait() below sees the signals.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  absl::StatusOr<std::unique_ptr<RunningService>> service = start(config);
  if (!service.ok()) return Fail(name, service.status(), 1);
  Log(LogLevel::kInfo, name.c_str(), "running").With("pid", getpid());

  int caught = 0;
  sigwait(&signals, &caught);
  Log(LogLevel::kInfo, name.c_str(), "draining").With("signal", caught).With("deadline_s", kDrainDeadline.count());
  signal(SIGTERM, ExitNow);
  signal(SIGINT, ExitNow);
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  (*service)->Stop(kDrainDeadline);
  service->reset();
  Log(LogLevel::kInfo, name.c_str(), "stopped");
  return 0;
}

int ServiceMain(int argc, char** argv, const std::string& name, const std::string& description,
                const std::function<absl::StatusOr<std::unique_ptr<RunningService>>(const ClusterConfig&)>& start) {
  std::string path;
  std::vector<std::string> overrides;
  Flags flags(name + " [flags]", description);
  flags.Text("config", &path, "YAML file; docs/configuration.md lists its keys");
  flags.Repeated("set", &overrides, "section.key=value, over the file");
  auto rest = flags.Parse({argv + 1, argv + argc});
  if (absl::IsCancelled(rest.status())) {
    fputs(flags.Help().c_str(), stdout);
    return 0;
  }
  if (!rest.ok()) return Fail(name, rest.status(), 2);
  if (!rest->empty()) return Fail(name, absl::InvalidArgumentError("unexpected argument '" + rest->front() + "'"), 2);
  auto config = LoadConfig(path, overrides);
  if (!config.ok()) return Fail(name, config.status(), 2);
  return RunUntilSignal(*config, name, start);
}

void ExportConfig(const ClusterConfig& config, Metrics& metrics) {
  metrics
      .AddGauge("headroom_config_info",
                {{"cluster", config.cluster.id}, {"device", config.device.kind}, {"dtype", config.model.dtype}})
      .Set(1);
}

}  // namespace headroom
