#include "common/service_main.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <thread>

#include "common/flags.h"
#include "common/log.h"

namespace headroom {
namespace {

LogLevel ParseLevel(const std::string& level) {
  if (level == "debug") return LogLevel::kDebug;
  if (level == "warning") return LogLevel::kWarning;
  if (level == "error") return LogLevel::kError;
  return LogLevel::kInfo;
}

int Fail(const std::string& name, const absl::Status& status, int exit_status) {
  fprintf(stderr, "%s: %s\n", name.c_str(), std::string(status.message()).c_str());
  return exit_status;
}

// Waits for signals on a thread of its own, so that they are heard while the service still starts.
class SignalThread {
 public:
  // Blocks SIGTERM and SIGINT in this thread and in all that it makes from now on.
  explicit SignalThread(ProcessEnd& process) {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGTERM);
    sigaddset(&signals_, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    thread_ = std::thread([this, &process] { Run(process); });
  }
  ~SignalThread() {
    ending_ = true;
    pthread_kill(thread_.native_handle(), SIGINT);
    thread_.join();
  }
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;

 private:
  void Run(ProcessEnd& process) {
    for (int count = 1;; ++count) {
      int caught = 0;
      sigwait(&signals_, &caught);
      if (ending_) return;
      // The second one: whoever sends it does not want to wait.
      if (count > 1) _exit(1);
      Log(LogLevel::kInfo, "process", "asked to stop").With("signal", caught);
      process.RequestStop();
    }
  }

  sigset_t signals_{};
  std::atomic<bool> ending_ = false;
  std::thread thread_;
};

}  // namespace

void ProcessEnd::Fail(absl::Status status) {
  {
    const std::lock_guard lock(mutex_);
    if (!failure_.has_value()) failure_ = std::move(status);
  }
  changed_.notify_all();
}

bool ProcessEnd::failed() const {
  const std::lock_guard lock(mutex_);
  return failure_.has_value();
}

void ProcessEnd::RequestStop() {
  stop_.request_stop();
  {
    const std::lock_guard lock(mutex_);
    requested_ = true;
  }
  changed_.notify_all();
}

absl::Status ProcessEnd::Wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return requested_ || failure_.has_value(); });
  return failure_.value_or(absl::OkStatus());
}

int RunUntilSignal(const ClusterConfig& config, const std::string& name, const StartService& start) {
  SetLogLevel(ParseLevel(config.log.level));
  signal(SIGPIPE, SIG_IGN);
  ProcessEnd process;
  const SignalThread signals(process);

  absl::StatusOr<std::unique_ptr<RunningService>> service = start(config, process);
  if (!service.ok() && !process.stopping().stop_requested()) return Fail(name, service.status(), 1);
  if (!service.ok()) {
    Log(LogLevel::kInfo, name.c_str(), "stopped before it had started");
    return 0;
  }
  Log(LogLevel::kInfo, name.c_str(), "running").With("pid", getpid());

  const absl::Status end = process.Wait();
  const std::chrono::milliseconds drain_max(end.ok() ? config.cluster.drain_ms_max : 0);
  Log(LogLevel::kInfo, name.c_str(), "draining").With("drain_ms_max", drain_max.count());
  (*service)->Stop(drain_max);
  service->reset();
  if (!end.ok()) return Fail(name, end, 1);
  Log(LogLevel::kInfo, name.c_str(), "stopped");
  return 0;
}

int ServiceMain(int argc, char** argv, const std::string& name, const std::string& description,
                const StartService& start) {
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
  for (const ModelSection& model : config.Models()) {
    metrics
        .AddGauge("headroom_config_info",
                  {{"cluster", config.cluster.id}, {"device", config.device.kind}, {"dtype", model.dtype}})
        .Set(1);
  }
}

}  // namespace headroom
