// headroom up: all services in one process, over in-process channels, on one device; each model has an arena and a
// ledger there, and workers of its own. The same server objects as the separate binaries.
#include <cstdio>

#include "cli/commands.h"
#include "cli/connection.h"
#include "common/flags.h"
#include "common/log.h"
#include "common/service_main.h"
#include "gateway/model_host_bytes.h"
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

// What serves one model: its part of the device and its workers.
class ModelWorkers {
 public:
  // Reads which workers the model needs. `index`: of the model; -1 where it is the only one.
  static absl::StatusOr<std::unique_ptr<ModelWorkers>> Create(const ClusterConfig& cluster, const ModelSection& model,
                                                              int index) {
    auto workers = std::make_unique<ModelWorkers>();
    HEADROOM_ASSIGN_OR_RETURN(workers->config_, ConfigOfModel(cluster, model.Name(), "model"));
    HEADROOM_ASSIGN_OR_RETURN(const model::ModelSpec read, model::LoadServedModel(model.path));
    workers->has_vision_ = read.Sees();
    workers->alone_ = index < 0;
    if (!workers->alone_) {
      for (std::string* name : {&workers->config_.vision_worker.name, &workers->config_.llm_worker.name}) {
        absl::StrAppend(name, ".", index);
      }
    }
    return workers;
  }

  bool has_vision() const { return has_vision_; }
  int64_t device_bytes() const { return config_.device.memory; }

  // Host budgets as they were made to fit the machine, for the whole process.
  void TakeBudgets(const ClusterConfig& fitted) {
    config_.gateway = fitted.gateway;
    const auto take = [](auto& own, const auto& from) {
      own.host_bytes_max = from.host_bytes_max;
      own.grpc_bytes_max = from.grpc_bytes_max;
    };
    take(config_.vision_worker, fitted.vision_worker);
    take(config_.llm_worker, fitted.llm_worker);
  }

  // Decoders are forked before gRPC makes its first thread.
  absl::Status StartDecoders() {
    if (!has_vision_) return absl::OkStatus();
    HEADROOM_ASSIGN_OR_RETURN(sandbox_, vision_worker::ImageSandbox::Start(vision_worker::SandboxConfigFrom(config_)));
    return absl::OkStatus();
  }

  absl::Status ReserveMemory(const worker::SharedDevice& shared, const memory::HostFit& host, Metrics& metrics,
                             const std::stop_token& stop) {
    const memory::Roles roles{.vision = has_vision_, .llm = true};
    const worker::AddNeeds add_needs = [this](auto& device, const auto& model, DType compute, auto& needs) {
      llm_worker::AddDecoderNeeds(device, model, compute, needs);
      if (has_vision_) vision_worker::AddEncoderNeeds(device, model, compute, needs);
    };
    HEADROOM_ASSIGN_OR_RETURN(device_,
                              alone_ ? worker::WorkerDevice::Create(config_, roles, add_needs, host, stop)
                                     : worker::WorkerDevice::CreatePart(config_, roles, add_needs, host, shared, stop));
    fputs(device_->plan().ToTable().c_str(), stderr);
    ledger_metrics_ = device_->ExportLedger(metrics);
    return absl::OkStatus();
  }

  absl::Status Start(rpc::ChannelDirectory& channels, Metrics& metrics, ProcessEnd& process) {
    if (has_vision_) {
      HEADROOM_ASSIGN_OR_RETURN(
          vision_, vision_worker::VisionServer::Start(config_, *device_, *sandbox_, channels, metrics, process));
    }
    HEADROOM_ASSIGN_OR_RETURN(llm_, llm_worker::LlmServer::Start(config_, *device_, channels, metrics, process));
    return absl::OkStatus();
  }

  absl::Status WaitLoaded() {
    if (vision_ != nullptr) HEADROOM_RETURN_IF_ERROR(vision_->WaitLoaded());
    return llm_->WaitLoaded();
  }

  template <typename Stop>
  void StopServers(const Stop& stop) {
    stop(llm_);
    stop(vision_);
  }

  worker::WorkerDevice& worker_device() { return *device_; }

 private:
  ClusterConfig config_;
  bool has_vision_ = false;
  bool alone_ = true;  // has the whole device
  // In the order of their lives: what stands below borrows from what stands above.
  std::unique_ptr<vision_worker::ImageSandbox> sandbox_;
  std::unique_ptr<worker::WorkerDevice> device_;
  std::shared_ptr<void> ledger_metrics_;
  std::unique_ptr<vision_worker::VisionServer> vision_;
  std::unique_ptr<llm_worker::LlmServer> llm_;
};

class Cluster : public RunningService {
 public:
  static absl::StatusOr<std::unique_ptr<RunningService>> Start(const ClusterConfig& given, ProcessEnd& process) {
    auto cluster = std::make_unique<Cluster>();
    HEADROOM_RETURN_IF_ERROR(cluster->StartAll(InOneProcess(given), process));
    HEADROOM_RETURN_IF_ERROR(cluster->WaitReady(process.stopping()));
    return cluster;
  }

  ~Cluster() override { Stop(Duration::zero()); }

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
    for (const auto& workers : models_) workers->StopServers(stop);
    stop(scheduler_);
  }

 private:
  absl::Status StartAll(ClusterConfig config, ProcessEnd& process) {
    HEADROOM_RETURN_IF_ERROR(CheckShares(config));
    const std::vector<ModelSection> sections = config.Models();
    // What a process takes of a card beside its arenas is measured for the process as a whole.
    if (sections.size() > 1 && config.device.kind != "cpu") {
      return absl::FailedPreconditionError(absl::StrCat(
          "headroom up serves several models on a CPU alone, and device.kind is ", config.device.kind,
          ": give each model of a card worker processes of its own (llm_worker.model, vision_worker.model) "
          "with a device.memory of their own"));
    }
    worker::SharedDevice shared;
    memory::HostedServices services{.gateway = true,
                                    .scheduler = true,
                                    .llm = static_cast<int>(sections.size()),
                                    .decoder_bytes = vision_worker::DecoderBytesMax(config),
                                    .model_files_bytes = gateway::ModelsHostBytes(config)};
    for (size_t i = 0; i < sections.size(); ++i) {
      HEADROOM_ASSIGN_OR_RETURN(
          models_.emplace_back(),
          ModelWorkers::Create(config, sections[i], sections.size() == 1 ? -1 : static_cast<int>(i)));
      services.vision += models_.back()->has_vision() ? 1 : 0;
      shared.memory_bytes += models_.back()->device_bytes();
    }
    config.device.memory = shared.memory_bytes;
    HEADROOM_ASSIGN_OR_RETURN(const memory::HostFit host, memory::FitHostMemory(services, config));
    for (const auto& workers : models_) {
      workers->TakeBudgets(config);
      HEADROOM_RETURN_IF_ERROR(workers->StartDecoders());
    }
    HEADROOM_ASSIGN_OR_RETURN(metrics_, Metrics::Create(config.gateway.metrics_listen));
    ExportConfig(config, *metrics_);
    host_metrics_ = worker::ExportHostMemory(*metrics_);
    if (models_.size() > 1) {
      HEADROOM_ASSIGN_OR_RETURN(shared.device, worker::OpenDevice(config.device));
    }
    for (const auto& workers : models_) {
      HEADROOM_RETURN_IF_ERROR(workers->ReserveMemory(shared, host, *metrics_, process.stopping()));
    }
    worker::WorkerDevice& device = models_.front()->worker_device();
    watch_ = worker::DeviceWatch::Start(
        device.device().monitor(), config.device.kind, [&device] { return device.device().Lost(); },
        [&device] { return device.floor().SettledBytes(); }, *metrics_, process);
    HEADROOM_ASSIGN_OR_RETURN(scheduler_, scheduler::SchedulerServer::Start(config, channels_, *metrics_));
    HEADROOM_ASSIGN_OR_RETURN(gateway_, gateway::GatewayServer::Start(config, channels_, *metrics_));
    for (const auto& workers : models_) HEADROOM_RETURN_IF_ERROR(workers->Start(channels_, *metrics_, process));
    return absl::OkStatus();
  }

  // SIGTERM ends the loads, and with them the wait.
  absl::Status WaitReady(const std::stop_token& stopping) {
    for (const auto& workers : models_) HEADROOM_RETURN_IF_ERROR(workers->WaitLoaded());
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
  rpc::ChannelDirectory channels_;
  std::unique_ptr<Metrics> metrics_;
  std::shared_ptr<void> host_metrics_;
  std::vector<std::unique_ptr<ModelWorkers>> models_;
  std::unique_ptr<worker::DeviceWatch> watch_;
  std::unique_ptr<scheduler::SchedulerServer> scheduler_;
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
