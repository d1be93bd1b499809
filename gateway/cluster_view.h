// What the gateway knows of the cluster, refreshed from the scheduler by one thread: readiness, and the limits that
// prices are made of. It may be a second old; the scheduler and the workers check everything again.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "common/status.h"
#include "gateway/clients.h"

namespace headroom::gateway {

struct ClusterLimits {
  int64_t block_size = 0;            // tokens
  int64_t max_model_len = 0;         // tokens; the largest of any llm-worker
  int64_t max_patches_per_step = 0;  // the largest of any vision-worker; 0 without one
  // As block_size, the same at all workers of a model: the scheduler sees to it. 0: they take no images.
  int64_t embedding_piece_bytes = 0;
};

class ClusterView {
 public:
  // `fingerprint`: of the model that this gateway serves; `needs_vision`: whether readiness needs a vision-worker.
  ClusterView(SchedulerClient& scheduler, std::string fingerprint, bool needs_vision);
  ~ClusterView();

  // Whether a worker of every needed role is ready for grants now; refused as NO_WORKER or NO_SCHEDULER, saying what is
  // missing, if not.
  absl::Status Ready() const;
  // What to price requests with. Once known it stays known: while the scheduler or workers are away for a moment, it is
  // the scheduler that lets requests wait or refuses them. Refused as in Ready() before.
  absl::StatusOr<ClusterLimits> Limits() const;
  // The last state that the scheduler sent.
  v1::ClusterState State() const;
  // Waits until Ready() is OK or `timeout` has passed; says which.
  bool WaitReady(std::chrono::milliseconds timeout);

 private:
  void Run();
  absl::StatusOr<ClusterLimits> LimitsNow() const;

  SchedulerClient& scheduler_;
  const std::string fingerprint_;
  const bool needs_vision_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  v1::ClusterState state_;
  absl::StatusOr<ClusterLimits> limits_;  // now
  std::optional<ClusterLimits> known_limits_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace headroom::gateway
