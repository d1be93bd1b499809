// gateway: the public API of a Headroom cluster.
#include "common/service_main.h"
#include "gateway/model_host_bytes.h"
#include "gateway/server.h"
#include "memory/host_budgets.h"

namespace headroom {
namespace {

// The server and what it borrows, in the order of their lives.
class Gateway : public RunningService {
 public:
  static absl::StatusOr<std::unique_ptr<RunningService>> Start(const ClusterConfig& given, ProcessEnd&) {
    ClusterConfig config = given;
    HEADROOM_RETURN_IF_ERROR(
        memory::FitHostMemory({.gateway = true, .model_files_bytes = gateway::ModelsHostBytes(config)}, config)
            .status());
    auto gateway = std::make_unique<Gateway>();
    HEADROOM_ASSIGN_OR_RETURN(gateway->metrics_, Metrics::Create(config.gateway.metrics_listen));
    ExportConfig(config, *gateway->metrics_);
    HEADROOM_ASSIGN_OR_RETURN(gateway->server_,
                              gateway::GatewayServer::Start(config, gateway->channels_, *gateway->metrics_));
    return gateway;
  }

  void Stop(Duration deadline) override { server_->Stop(deadline); }

 private:
  rpc::ChannelDirectory channels_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<gateway::GatewayServer> server_;
};

}  // namespace
}  // namespace headroom

int main(int argc, char** argv) {
  return headroom::ServiceMain(argc, argv, "gateway", "Public API of a Headroom cluster.", headroom::Gateway::Start);
}
