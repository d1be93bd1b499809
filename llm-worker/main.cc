// llm-worker: the language model of a Headroom cluster, on one device.
#include "common/service_main.h"
#include "llm-worker/server.h"
#include "runtime/device.h"
#include "worker/device_watch.h"

namespace headroom {
namespace {

// The server and what it borrows, in the order of their lives.
class LlmWorker : public RunningService {
 public:
  static absl::StatusOr<std::unique_ptr<RunningService>> Start(const ClusterConfig& given, ProcessEnd& process) {
    HEADROOM_ASSIGN_OR_RETURN(ClusterConfig config, ConfigOfModel(given, given.llm_worker.model, "llm_worker.model"));
    HEADROOM_ASSIGN_OR_RETURN(const memory::HostFit host, memory::FitHostMemory({.llm = 1}, config));
    auto worker = std::make_unique<LlmWorker>();
    HEADROOM_ASSIGN_OR_RETURN(worker->metrics_, Metrics::Create(config.llm_worker.metrics_listen));
    ExportConfig(config, *worker->metrics_);
    HEADROOM_ASSIGN_OR_RETURN(worker->device_,
                              worker::WorkerDevice::Create(config, {.vision = false, .llm = true},
                                                           llm_worker::AddDecoderNeeds, host, process.stopping()));
    worker->ledger_metrics_ = worker->device_->ExportLedger(*worker->metrics_);
    worker->host_metrics_ = worker::ExportHostMemory(*worker->metrics_);
    worker->watch_ = worker::DeviceWatch::Start(
        worker->device_->device().monitor(), config.device.kind,
        [&device = worker->device_->device()] { return device.Lost(); },
        [&floor = worker->device_->floor()] { return floor.SettledBytes(); }, *worker->metrics_, process);
    HEADROOM_ASSIGN_OR_RETURN(worker->server_, llm_worker::LlmServer::Start(config, *worker->device_, worker->channels_,
                                                                            *worker->metrics_, process));
    return worker;
  }

  void Stop(Duration deadline) override { server_->Stop(deadline); }

 private:
  rpc::ChannelDirectory channels_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<worker::WorkerDevice> device_;
  std::shared_ptr<void> ledger_metrics_, host_metrics_;
  std::unique_ptr<worker::DeviceWatch> watch_;
  std::unique_ptr<llm_worker::LlmServer> server_;
};

}  // namespace
}  // namespace headroom

int main(int argc, char** argv) {
  headroom::runtime::PrepareProcess(argv);
  return headroom::ServiceMain(argc, argv, "llm-worker", "Language model of a Headroom cluster.",
                               headroom::LlmWorker::Start);
}
