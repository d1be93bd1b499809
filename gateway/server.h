// Wires and owns the gateway: configuration in, a serving object out. `headroom up` and the binary `gateway` build the
// same object.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/config.h"
#include "common/metrics.h"
#include "common/rpc/channel_directory.h"
#include "common/rpc/server_host.h"
#include "common/service_main.h"
#include "gateway/grpc_peers.h"
#include "gateway/grpc_scheduler_client.h"
#include "gateway/http/server.h"
#include "gateway/service.h"

namespace headroom::gateway {

class GatewayServer : public RunningService {
 public:
  // Loads what the gateway needs of the models (no weights), connects to the scheduler and serves. `channels` and
  // `metrics` must outlive the result. Health turns SERVING once every worker that some model needs is READY.
  static absl::StatusOr<std::unique_ptr<GatewayServer>> Start(const ClusterConfig& config,
                                                              rpc::ChannelDirectory& channels, Metrics& metrics);
  ~GatewayServer() override;

  const std::string& address() const { return host_.address(); }
  // Of the HTTP API; empty: none.
  std::string url() const;
  // Until every model is.
  bool WaitReady(std::chrono::milliseconds timeout) { return cluster_.WaitReady(timeout); }
  void Stop(Duration deadline) override;

 private:
  GatewayServer(const ClusterConfig& config, rpc::ChannelDirectory& channels, Metrics& metrics, ServedModels models);
  absl::Status StartHttp(Metrics& metrics);
  void FollowReadiness();

  const GatewaySection config_;
  const ServedModels models_;
  HostBudget host_budget_;
  RequestThreads threads_;
  GrpcSchedulerClient scheduler_;
  GrpcPeers peers_;
  GrantKeeper grants_;
  ClusterView cluster_;
  RequestRunner runner_;
  GatewayService service_;
  std::shared_ptr<void> host_budget_metrics_, model_metrics_;
  rpc::ServerHost host_;
  std::unique_ptr<http::Handler> http_handler_;
  std::unique_ptr<http::Server> http_;  // null: not wanted
  std::mutex mutex_;
  std::condition_variable stopping_changed_;
  bool stopping_ = false;
  std::thread readiness_;
};

}  // namespace headroom::gateway
