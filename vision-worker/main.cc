// vision-worker: the vision tower of a Headroom cluster, on one device.
#include "common/service_main.h"
#include "runtime/device.h"
#include "vision-worker/server.h"
#include "worker/device_watch.h"

namespace headroom {
namespace {

// The server and what it borrows, in the order of their lives.
class VisionWorker : public RunningService {
 public:
  static absl::StatusOr<std::unique_ptr<RunningService>> Start(const ClusterConfig& given, ProcessEnd& process) {
    HEADROOM_ASSIGN_OR_RETURN(ClusterConfig config,
                              ConfigOfModel(given, given.vision_worker.model, "vision_worker.model"));
    HEADROOM_ASSIGN_OR_RETURN(
        const memory::HostFit host,
        memory::FitHostMemory({.vision = 1, .decoder_bytes = vision_worker::DecoderBytesMax(config)}, config));
    auto worker = std::make_unique<VisionWorker>();
    HEADROOM_ASSIGN_OR_RETURN(worker->sandbox_,
                              vision_worker::ImageSandbox::Start(vision_worker::SandboxConfigFrom(config)));
    HEADROOM_ASSIGN_OR_RETURN(worker->metrics_, Metrics::Create(config.vision_worker.metrics_listen));
    ExportConfig(config, *worker->metrics_);
    HEADROOM_ASSIGN_OR_RETURN(worker->device_,
                              worker::WorkerDevice::Create(config, {.vision = true, .llm = false},
                                                           vision_worker::AddEncoderNeeds, host, process.stopping()));
    worker->ledger_metrics_ = worker->device_->ExportLedger(*worker->metrics_);
    worker->host_metrics_ = worker::ExportHostMemory(*worker->metrics_);
    worker->watch_ = worker::DeviceWatch::Start(
        worker->device_->device().monitor(), config.device.kind,
        [&device = worker->device_->device()] { return device.Lost(); },
        [&floor = worker->device_->floor()] { return floor.SettledBytes(); }, *worker->metrics_, process);
    HEADROOM_ASSIGN_OR_RETURN(worker->server_,
                              vision_worker::VisionServer::Start(config, *worker->device_, *worker->sandbox_,
                                                                 worker->channels_, *worker->metrics_, process));
    return worker;
  }

  void Stop(Duration deadline) override { server_->Stop(deadline); }

 private:
  std::unique_ptr<vision_worker::ImageSandbox> sandbox_;
  rpc::ChannelDirectory channels_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<worker::WorkerDevice> device_;
  std::shared_ptr<void> ledger_metrics_, host_metrics_;
  std::unique_ptr<worker::DeviceWatch> watch_;
  std::unique_ptr<vision_worker::VisionServer> server_;
};

}  // namespace
}  // namespace headroom

int main(int argc, char** argv) {
  headroom::runtime::PrepareProcess(argv);
  return headroom::ServiceMain(argc, argv, "vision-worker", "Vision tower of a Headroom cluster.",
                               headroom::VisionWorker::Start);
}
