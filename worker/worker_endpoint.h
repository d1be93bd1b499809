// One role's place in the cluster: the gate that admits legs, the gRPC server that requests reach, and the link that
// tells the scheduler.
//
// Life: constructed LOADING ▸ Start() serves and dials ▸ Loading(progress) ▸ Ready() ▸ Drain() takes no new grants and
// waits for legs ▸ Close().
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "admission/link/worker_link.h"
#include "admission/worker_gate.h"
#include "common/clock.h"
#include "common/metrics.h"
#include "common/rpc/channel_directory.h"
#include "common/rpc/server_host.h"
#include "common/status.h"

namespace headroom::worker {

// Start, Drain and Close are called from one thread; the rest is thread-safe.
class WorkerEndpoint {
 public:
  struct Options {
    std::string cluster_id;
    std::string name;
    std::string listen;     // empty: reachable in this process only, as inproc:NAME
    std::string advertise;  // empty: the address that was bound
    std::string scheduler;
    std::string model;  // fingerprint
    std::string device;
    admission::Role role = admission::Role::kLlm;
    admission::Resources capacity;
    int64_t max_patches_per_step = 0;
    int64_t max_model_len = 0;
    int64_t block_size = 0;
    int64_t grpc_bytes_max = rpc::ServerHostOptions{}.memory_bytes_max;
    int64_t embedding_row_bytes = 0;  // 0: no images
    int64_t kv_block_bytes = 0;       // 0: no KV blocks
    // What a typical request of a class would take, for headroom_worker_fitting_requests: class and need.
    std::vector<std::pair<std::string, admission::Resources>> request_classes;
  };

  // `capacity` has passed ValidateResources. What is passed by reference must outlive this object.
  WorkerEndpoint(Options options, admission::WorkerLink::LedgerSnapshot ledger, rpc::ChannelDirectory& channels,
                 Metrics& metrics, Clock& clock);
  // Close(). All legs must be gone.
  ~WorkerEndpoint();

  admission::WorkerGate& gate() { return gate_; }
  const admission::WorkerGate& gate() const { return gate_; }
  uint64_t incarnation() const { return gate_.options().incarnation; }
  // host:port or inproc:NAME; after Start.
  const std::string& endpoint() const { return endpoint_; }

  absl::Status Start(grpc::Service* service);
  void Loading(double progress);
  void Ready();
  // No new grants from now on. Returns when no leg is active any more, or when `deadline` has passed.
  void Drain(Duration deadline);
  // Ends the server. Calls that still run may go on until `deadline` (a leg settles before its last answers are read),
  // then they are cancelled. Settled legs can still be reported after it.
  void StopServing(Duration deadline);
  // Ends the link. Idempotent.
  void Close();

 private:
  std::vector<MetricSample> Collect() const;

  const Options options_;
  const admission::WorkerLink::LedgerSnapshot ledger_;
  rpc::ChannelDirectory& channels_;
  Clock& clock_;
  admission::WorkerGate gate_;
  rpc::ServerHost host_;
  std::string endpoint_;
  std::unique_ptr<admission::WorkerLink> link_;
  std::shared_ptr<void> metrics_token_;
};

}  // namespace headroom::worker
