// scheduler: admission of a Headroom cluster.
#include "common/service_main.h"
#include "memory/host_budgets.h"
#include "scheduler/server.h"

namespace headroom {
namespace {

// The server and what it borrows, in the order of their lives.
class Scheduler : public RunningService {
 public:
  static absl::StatusOr<std::unique_ptr<RunningService>> Start(const ClusterConfig& given, ProcessEnd&) {
    ClusterConfig config = given;
    HEADROOM_RETURN_IF_ERROR(memory::FitHostMemory({.scheduler = true}, config).status());
    auto scheduler = std::make_unique<Scheduler>();
    HEADROOM_ASSIGN_OR_RETURN(scheduler->metrics_, Metrics::Create(config.scheduler.metrics_listen));
    ExportConfig(config, *scheduler->metrics_);
    HEADROOM_ASSIGN_OR_RETURN(scheduler->server_,
                              scheduler::SchedulerServer::Start(config, scheduler->channels_, *scheduler->metrics_));
    return scheduler;
  }

  void Stop(Duration deadline) override { server_->Stop(deadline); }

 private:
  rpc::ChannelDirectory channels_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<scheduler::SchedulerServer> server_;
};

}  // namespace
}  // namespace headroom

int main(int argc, char** argv) {
  return headroom::ServiceMain(argc, argv, "scheduler", "Admission of a Headroom cluster.", headroom::Scheduler::Start);
}
