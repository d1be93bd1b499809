// Wires and owns the gateway: configuration in, a serving object out. `headroom up` and the binary `gateway` build the
// same object.
#pragma once

#include <memory>
#include <string>

#include "common/clock.h"
#include "common/config.h"
#include "common/metrics.h"
#include "common/rpc/channel_directory.h"
#include "common/rpc/server_host.h"
#include "common/service_main.h"
#include "gateway/service.h"

namespace headroom::gateway {

class GatewayServer : public RunningService {
 public:
  // Loads what the gateway needs of the model (no weights), connects to the scheduler and serves. `channels` and
  // `metrics` must outlive the result. Health turns SERVING once every needed worker is READY.
  static absl::StatusOr<std::unique_ptr<GatewayServer>> Start(const ClusterConfig& config,
                                                              rpc::ChannelDirectory& channels, Metrics& metrics);
  ~GatewayServer() override;

  const std::string& address() const { return host_.address(); }
  const ServedModel& model() const { return *model_; }
  bool WaitReady(std::chrono::milliseconds timeout) { return cluster_.WaitReady(timeout); }
  void Stop(Duration deadline) override;

 private:
  GatewayServer(const ClusterConfig& config, rpc::ChannelDirectory& channels, Metrics& metrics,
                std::unique_ptr<ServedModel> model);
  void FollowReadiness();

  const GatewaySection config_;
  const std::unique_ptr<ServedModel> model_;
  SchedulerClient scheduler_;
  GrantKeeper grants_;
  ClusterView cluster_;
  HostBudget host_budget_;
  GatewayService service_;
  std::shared_ptr<void> host_budget_metrics_;
  rpc::ServerHost host_;
  std::mutex mutex_;
  std::condition_variable stopping_changed_;
  bool stopping_ = false;
  std::thread readiness_;
};

}  // namespace headroom::gateway
