// Wires and owns the scheduler: configuration in, a serving object out. `headroom up` and the binary `scheduler` build
// the same object.
#pragma once

#include <memory>
#include <string>

#include "common/config.h"
#include "common/metrics.h"
#include "common/rpc/channel_directory.h"
#include "common/rpc/server_host.h"
#include "common/service_main.h"
#include "scheduler/core_runner.h"
#include "scheduler/service.h"

namespace headroom::scheduler {

class SchedulerServer : public RunningService {
 public:
  // The name under which clients of the same process find it in `channels`.
  static constexpr char kInProcessEndpoint[] = "inproc:scheduler";

  // Serves on config.scheduler.listen (empty: in this process only) and registers kInProcessEndpoint. `channels` and
  // `metrics` must outlive the result. Health is SERVING from the start: a scheduler without workers answers, too.
  static absl::StatusOr<std::unique_ptr<SchedulerServer>> Start(const ClusterConfig& config,
                                                                rpc::ChannelDirectory& channels, Metrics& metrics);
  ~SchedulerServer() override;

  // host:port with the real port; empty without a port.
  const std::string& address() const { return host_.address(); }

  // Waiting and new reservations are refused; grants can still be renewed and voided, workers stay linked.
  void Drain();
  // Drains, tells the workers that it goes, and waits for calls until the deadline. Idempotent.
  void Stop(Duration deadline) override;

  // For tests and `headroom up`.
  admission::ClusterStatus Status() const { return core_.Status(); }

 private:
  SchedulerServer(const ClusterConfig& config, rpc::ChannelDirectory& channels, Metrics& metrics);

  rpc::ChannelDirectory& channels_;
  SchedulerMetrics metrics_;
  CoreRunner core_;
  SchedulerService service_;
  std::shared_ptr<void> collector_;
  rpc::ServerHost host_;
  bool stopped_ = false;
};

}  // namespace headroom::scheduler
