// headroom up: all four services in one process, over in-process channels, with one device, arena and ledger. The same
// server objects as the separate binaries.
#include <cstdio>

#include "cli/commands.h"
#include "cli/connection.h"
#include "common/flags.h"
#include "common/log.h"
#include "common/service_main.h"
#include "gateway/server.h"
#include "llm-worker/server.h"
#include "scheduler/server.h"
#include "vision-worker/server.h"
#include "worker/device_watch.h"
#include "worker/worker_device.h"

namespace headroom::cli {
namespace {

constexpr char kName[] = "headroom up";
// Between READY workers and a gateway that has heard of it lie messages only.
constexpr std::chrono::seconds kReadyPatience(60);
constexpr std::chrono::milliseconds kReadyPoll(100);

// Only the gateway opens ports: one for gRPC, one for metrics.
ClusterConfig InOneProcess(ClusterConfig config) {
  config.scheduler.listen.clear();
  config.vision_worker.listen.clear();
  config.llm_worker.listen.clear();
  config.gateway.scheduler = scheduler::SchedulerServer::kInProcessEndpoint;
  config.vision_worker.scheduler = scheduler::SchedulerServer::kInProcessEndpoint;
  config.llm_worker.scheduler = scheduler::SchedulerServer::kInProcessEndpoint;
  return config;
}

class Cluster : public RunningService {
 public:
  static absl::StatusOr<std::unique_ptr<RunningService>> Start(const ClusterConfig& given, ProcessEnd& process) {
    auto cluster = std::make_unique<Cluster>();
    HEADROOM_RETURN_IF_ERROR(cluster->StartAll(InOneProcess(given), process));
    HEADROOM_RETURN_IF_ERROR(cluster->WaitReady(process.stopping()));
    return cluster;
  }

  // Front to back, so that what still runs finds the services it needs; each goes wholly before the next stops, because
  // gRPC 1.51 does not survive a call on an in-process channel whose server is gone.
  void Stop(Duration deadline) override {
    const TimePoint end = SystemClock().Now() + deadline;
    auto left = [end] { return std::max(Duration::zero(), end - SystemClock().Now()); };
    auto stop = [&left](auto& server) {
      if (server == nullptr) return;
      server->Stop(left());
      server.reset();
    };
    stop(gateway_);
    stop(llm_);
    stop(vision_);
    stop(scheduler_);
  }

 private:
  absl::Status StartAll(ClusterConfig config, ProcessEnd& process) {
    HEADROOM_ASSIGN_OR_RETURN(const model::ModelConfig model, model::LoadModelConfig(config.model.path));
    const bool has_vision = model.vision.has_value();
    HEADROOM_ASSIGN_OR_RETURN(const memory::HostFit host,
                              memory::FitHostMemory({.gateway = true,
                                                     .scheduler = true,
                                                     .vision = has_vision,
                                                     .llm = true,
                                                     .decoder_bytes = vision_worker::DecoderBytesMax(config)},
                                                    config));
    // Decoders are forked before gRPC makes its first thread.
    if (has_vision) {
      HEADROOM_ASSIGN_OR_RETURN(sandbox_, vision_worker::ImageSandbox::Start(vision_worker::SandboxConfigFrom(config)));
    }
    HEADROOM_ASSIGN_OR_RETURN(metrics_, Metrics::Create(config.gateway.metrics_listen));
    ExportConfig(config, *metrics_);
    HEADROOM_ASSIGN_OR_RETURN(device_,
                              worker::WorkerDevice::Create(
                                  config, {.vision = has_vision, .llm = true},
                                  [has_vision](auto& sizes, const auto& model_config, DType compute, auto& needs) {
                                    llm_worker::AddDecoderNeeds(sizes, model_config, compute, needs);
                                    if (has_vision) vision_worker::AddEncoderNeeds(sizes, model_config, compute, needs);
                                  },
                                  host, process.stopping()));
    fputs(device_->plan().ToTable().c_str(), stderr);
    ledger_metrics_ = device_->ExportLedger(*metrics_);
    watch_ = worker::DeviceWatch::Start(
        device_->device().monitor(), config.device.kind, [this] { return device_->device().Lost(); },
        [this] { return device_->floor().SettledBytes(); }, *metrics_, process);
    HEADROOM_ASSIGN_OR_RETURN(scheduler_, scheduler::SchedulerServer::Start(config, channels_, *metrics_));
    HEADROOM_ASSIGN_OR_RETURN(gateway_, gateway::GatewayServer::Start(config, channels_, *metrics_));
    if (has_vision) {
      HEADROOM_ASSIGN_OR_RETURN(
          vision_, vision_worker::VisionServer::Start(config, *device_, *sandbox_, channels_, *metrics_, process));
    }
    HEADROOM_ASSIGN_OR_RETURN(llm_, llm_worker::LlmServer::Start(config, *device_, channels_, *metrics_, process));
    return absl::OkStatus();
  }

  // SIGTERM ends the loads, and with them the wait.
  absl::Status WaitReady(const std::stop_token& stopping) {
    if (vision_ != nullptr) HEADROOM_RETURN_IF_ERROR(vision_->WaitLoaded());
    HEADROOM_RETURN_IF_ERROR(llm_->WaitLoaded());
    const TimePoint end = SystemClock().Now() + kReadyPatience;
    while (!gateway_->WaitReady(kReadyPoll)) {
      if (stopping.stop_requested()) return absl::CancelledError("stopped before the workers were ready");
      if (SystemClock().Now() >= end) return absl::InternalError("the workers did not become ready");
    }
    Log(LogLevel::kInfo, "up", "ready")
        .With("gateway", gateway_->address())
        .With("url", gateway_->url())
        .With("metrics_port", metrics_->port());
    return absl::OkStatus();
  }

  // In the order of their lives: what stands below borrows from what stands above.
  std::unique_ptr<vision_worker::ImageSandbox> sandbox_;
  rpc::ChannelDirectory channels_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<worker::WorkerDevice> device_;
  std::shared_ptr<void> ledger_metrics_;
  std::unique_ptr<worker::DeviceWatch> watch_;
  std::unique_ptr<scheduler::SchedulerServer> scheduler_;
  std::unique_ptr<vision_worker::VisionServer> vision_;
  std::unique_ptr<llm_worker::LlmServer> llm_;
  std::unique_ptr<gateway::GatewayServer> gateway_;
};

}  // namespace

int Up(const std::vector<std::string>& arguments) {
  std::string path;
  std::vector<std::string> overrides;
  Flags flags("headroom up [flags]", "Starts all four services in this process and serves until SIGTERM or Ctrl-C.");
  flags.Text("config", &path, "YAML file; docs/configuration.md lists its keys");
  flags.Repeated("set", &overrides, "section.key=value, over the file");
  const auto rest = flags.Parse(arguments);
  if (absl::IsCancelled(rest.status())) {
    fputs(flags.Help().c_str(), stdout);
    return 0;
  }
  if (!rest.ok()) return Fail(kName, std::string(rest.status().message()), 2);
  if (!rest->empty()) return Fail(kName, "unexpected argument '" + rest->front() + "'", 2);
  const auto config = LoadConfig(path, overrides);
  if (!config.ok()) return Fail(kName, std::string(config.status().message()), 2);
  return RunUntilSignal(*config, kName, Cluster::Start);
}

}  // namespace headroom::cli
