#include "gateway/server.h"

#include "common/log.h"

namespace headroom::gateway {
namespace {

constexpr std::chrono::milliseconds kReadinessPeriod(100);

}  // namespace

GatewayServer::GatewayServer(const ClusterConfig& config, rpc::ChannelDirectory& channels, Metrics& metrics,
                             std::unique_ptr<ServedModel> model)
    : config_(config.gateway),
      model_(std::move(model)),
      scheduler_(channels, config_.scheduler),
      grants_(scheduler_, SystemClock()),
      cluster_(scheduler_, model_->fingerprint, model_->config.vision.has_value()),
      host_budget_(config_.host_bytes_max),
      service_({config_, *model_, channels, scheduler_, grants_, cluster_, host_budget_, SystemClock()}, metrics),
      host_budget_metrics_(metrics.AddCollector([this] {
        return std::vector<MetricSample>{
            {"headroom_gateway_host_used_bytes", {}, static_cast<double>(host_budget_.used_bytes())},
            {"headroom_gateway_host_capacity_bytes", {}, static_cast<double>(host_budget_.capacity_bytes())}};
      })),
      host_({.listen = config_.listen,
             .receive_bytes_max = config_.receive_bytes_max,
             .memory_bytes_max = config_.grpc_bytes_max,
             .reflection = config_.reflection,
             .metrics = &metrics}) {}

absl::StatusOr<std::unique_ptr<GatewayServer>> GatewayServer::Start(const ClusterConfig& config,
                                                                    rpc::ChannelDirectory& channels, Metrics& metrics) {
  if (config.model.path.empty()) return absl::InvalidArgumentError("model.path is not set");
  HEADROOM_ASSIGN_OR_RETURN(auto model, ServedModel::Load(config.model.path));
  std::unique_ptr<GatewayServer> server(new GatewayServer(config, channels, metrics, std::move(model)));
  HEADROOM_RETURN_IF_ERROR(server->host_.Start({&server->service_}));
  server->readiness_ = std::thread([raw = server.get()] { raw->FollowReadiness(); });
  Log(LogLevel::kInfo, "gateway", "serving").With("address", server->address()).With("model", server->model_->name);
  return server;
}

GatewayServer::~GatewayServer() { Stop(Duration::zero()); }

// Health follows the workers: a load balancer sends no requests that could only fail.
void GatewayServer::FollowReadiness() {
  std::unique_lock lock(mutex_);
  bool serving = false;
  while (!stopping_) {
    const bool ready = cluster_.Ready().ok();
    if (ready != serving) host_.SetServing(ready);
    serving = ready;
    stopping_changed_.wait_for(lock, kReadinessPeriod, [this] { return stopping_; });
  }
  host_.SetServing(false);
}

void GatewayServer::Stop(Duration deadline) {
  service_.Drain();
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stopping_changed_.notify_all();
  if (readiness_.joinable()) readiness_.join();
  host_.Shutdown(deadline);
}

}  // namespace headroom::gateway
