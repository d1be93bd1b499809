#include "gateway/server.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "gateway/openai/api.h"

namespace headroom::gateway {
namespace {

constexpr std::chrono::milliseconds kReadinessPeriod(100);

}  // namespace

GatewayServer::GatewayServer(const ClusterConfig& config, rpc::ChannelDirectory& channels, Metrics& metrics,
                             ServedModels models)
    : config_(config.gateway),
      models_(std::move(models)),
      host_budget_(config_.host_bytes_max - models_.host_bytes()),
      threads_(config_.requests_running_max),
      scheduler_(channels, config_.scheduler),
      peers_(channels, config_.scheduler, threads_.steps, threads_.timers),
      grants_(scheduler_, peers_, SystemClock()),
      cluster_(scheduler_, models_),
      runner_(
          {config_, models_, peers_, grants_, cluster_, host_budget_, SystemClock(), threads_.steps, threads_.timers},
          threads_, metrics),
      service_({config_, models_, runner_, scheduler_, cluster_, host_budget_, SystemClock(), threads_.prepare}),
      host_budget_metrics_(metrics.AddCollector([this] {
        return std::vector<MetricSample>{
            {"headroom_gateway_host_used_bytes",
             {},
             static_cast<double>(host_budget_.used_bytes() + models_.host_bytes())},
            {"headroom_gateway_host_capacity_bytes", {}, static_cast<double>(config_.host_bytes_max)}};
      })),
      model_metrics_(metrics.AddCollector([this] {
        std::vector<MetricSample> samples;
        const auto add = [&samples](const std::string& name, bool ready, int64_t host_bytes) {
          samples.push_back({"headroom_gateway_model_ready", {{"model", name}}, ready ? 1.0 : 0.0});
          samples.push_back({"headroom_gateway_model_host_bytes", {{"model", name}}, static_cast<double>(host_bytes)});
        };
        for (const auto& model : models_.all()) add(model->name, cluster_.LimitsNow(*model).ok(), model->host_bytes);
        for (const auto& model : models_.missing()) add(model.name, false, 0);
        return samples;
      })),
      host_({.listen = config_.listen,
             .receive_bytes_max = config_.receive_bytes_max,
             .memory_bytes_max = config_.grpc_bytes_max,
             .reflection = config_.reflection,
             .metrics = &metrics}) {}

absl::StatusOr<std::unique_ptr<GatewayServer>> GatewayServer::Start(const ClusterConfig& config,
                                                                    rpc::ChannelDirectory& channels, Metrics& metrics) {
  HEADROOM_ASSIGN_OR_RETURN(ServedModels models, ServedModels::Load(config));
  std::unique_ptr<GatewayServer> server(new GatewayServer(config, channels, metrics, std::move(models)));
  HEADROOM_RETURN_IF_ERROR(server->host_.Start({&server->service_}));
  HEADROOM_RETURN_IF_ERROR(server->StartHttp(metrics));
  server->readiness_ = std::thread([raw = server.get()] { raw->FollowReadiness(); });
  for (const auto& model : server->models_.all()) {
    Log(LogLevel::kInfo, "gateway", "serving")
        .With("address", server->address())
        .With("url", server->url())
        .With("model", model->name);
  }
  return server;
}

absl::Status GatewayServer::StartHttp(Metrics& metrics) {
  if (config_.http.listen.empty()) return absl::OkStatus();
  http_handler_ = std::make_unique<openai::Api>(
      openai::Api::Parts{config_, models_, runner_, cluster_, host_budget_, threads_.prepare});
  HEADROOM_ASSIGN_OR_RETURN(http_, http::Server::Start({.config = config_,
                                                        .handler = *http_handler_,
                                                        .runner = runner_,
                                                        .host_budget = host_budget_,
                                                        .metrics = metrics,
                                                        .ready = [this] { return cluster_.Ready(); }}));
  return absl::OkStatus();
}

std::string GatewayServer::url() const { return http_ == nullptr ? "" : absl::StrCat("http://", http_->address()); }

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
  runner_.Drain();
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stopping_changed_.notify_all();
  if (readiness_.joinable()) readiness_.join();
  const TimePoint end = SystemClock().Now() + deadline;
  if (http_ != nullptr) http_->Stop(deadline);
  host_.Shutdown(std::max(Duration::zero(), end - SystemClock().Now()));
}

}  // namespace headroom::gateway
