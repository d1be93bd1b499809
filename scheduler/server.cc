#include "scheduler/server.h"

#include "common/log.h"

namespace headroom::scheduler {
namespace {

using admission::milliseconds;

admission::SchedulerCore::Options CoreOptions(const ClusterConfig& config) {
  admission::SchedulerCore::Options options;
  options.workers.cluster_id = config.cluster.id;
  options.workers.worker_lost = milliseconds(config.scheduler.worker_lost_ms);
  options.workers.worker_forget = milliseconds(config.scheduler.worker_forget_ms);
  options.queue.entries_max = static_cast<size_t>(config.scheduler.queue_entries_max);
  options.queue.bytes_max = static_cast<size_t>(config.scheduler.queue_bytes_max);
  options.grant_ttl = milliseconds(config.scheduler.grant_ttl_ms);
  options.wait_max = milliseconds(config.scheduler.queue_wait_ms_max);
  options.startup_grace = milliseconds(config.scheduler.startup_grace_ms);
  options.overtakes_max = config.scheduler.overtakes_max;
  const auto history_bytes = static_cast<size_t>(config.scheduler.history_bytes_max);
  options.refusals_bytes_max = history_bytes / 8;
  options.history.bytes_max = history_bytes - options.refusals_bytes_max;
  return options;
}

}  // namespace

SchedulerServer::SchedulerServer(const ClusterConfig& config, rpc::ChannelDirectory& channels, Metrics& metrics)
    : channels_(channels),
      metrics_(metrics),
      core_(CoreOptions(config), SystemClock(), SystemRandom(), metrics_),
      service_({config.cluster.id, config.scheduler.heartbeat_ms}, core_),
      collector_(SchedulerMetrics::Follow(metrics, [this] { return core_.Status(); })),
      host_({.listen = config.scheduler.listen,
             .memory_bytes_max = config.scheduler.grpc_bytes_max,
             .calls_max = rpc::kTrustedCallsMax,
             .metrics = &metrics}) {}

absl::StatusOr<std::unique_ptr<SchedulerServer>> SchedulerServer::Start(const ClusterConfig& config,
                                                                        rpc::ChannelDirectory& channels,
                                                                        Metrics& metrics) {
  std::unique_ptr<SchedulerServer> server(new SchedulerServer(config, channels, metrics));
  HEADROOM_RETURN_IF_ERROR(server->host_.Start({&server->service_}));
  channels.Register(kInProcessEndpoint, server->host_.server());
  server->host_.SetServing(true);
  Log(LogLevel::kInfo, "scheduler", "serving").With("address", server->address()).With("cluster", config.cluster.id);
  return server;
}

SchedulerServer::~SchedulerServer() { Stop(Duration::zero()); }

void SchedulerServer::Drain() {
  host_.SetServing(false);
  core_.Drain();
}

void SchedulerServer::Stop(Duration deadline) {
  if (stopped_) return;
  stopped_ = true;
  collector_.reset();
  Drain();
  if (host_.server() != nullptr) channels_.Unregister(kInProcessEndpoint);
  core_.CloseLinks(absl::UnavailableError("the scheduler stops"));
  host_.Shutdown(deadline);
}

}  // namespace headroom::scheduler
