// What the gateway knows of the cluster, refreshed from the scheduler by one thread: readiness, and for each model the
// limits that prices are made of. It may be a second old; the scheduler and the workers check everything again.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/status.h"
#include "gateway/scheduler_client.h"
#include "gateway/served_model.h"
#include "headroom/v1/gateway.pb.h"

namespace headroom::gateway {

struct ClusterLimits {
  int64_t block_size = 0;            // tokens
  int64_t max_model_len = 0;         // tokens; the largest of any llm-worker
  int64_t max_patches_per_step = 0;  // the largest of any vision-worker; 0 without one
  // As block_size, the same at all workers of a model: the scheduler sees to it. 0: they take no images.
  int64_t embedding_row_bytes = 0;
};

class ClusterView {
 public:
  // Of every model in `models`, which must outlive this.
  ClusterView(SchedulerClient& scheduler, const ServedModels& models);
  ~ClusterView();

  // Whether some model has a worker of every role that it needs ready for grants now; refused as NO_WORKER or
  // NO_SCHEDULER, saying what the first one misses, if not.
  absl::Status Ready() const;
  // The same of one model: its limits now.
  absl::StatusOr<ClusterLimits> LimitsNow(const ServedModel& model) const;
  // What to price requests for a model with. Once known it stays known: while the scheduler or workers are away for a
  // moment, it is the scheduler that lets requests wait or refuses them. Refused as in Ready() before.
  absl::StatusOr<ClusterLimits> Limits(const ServedModel& model) const;
  // Of every model that the gateway was told to serve, those that it could not load last.
  std::vector<v1::ModelStatus> Models() const;
  // The last state that the scheduler sent.
  v1::ClusterState State() const;
  // Waits until every model is ready or `timeout` has passed; says which.
  bool WaitReady(std::chrono::milliseconds timeout);

 private:
  struct OfModel {
    absl::StatusOr<ClusterLimits> now;
    std::optional<ClusterLimits> known;
  };

  void Run();
  absl::StatusOr<ClusterLimits> ReadLimits(const ServedModel& model) const;
  bool IsServed(const std::string& fingerprint) const;
  absl::Status ReadyLocked() const;
  bool AllReadyLocked() const;

  SchedulerClient& scheduler_;
  const ServedModels& models_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  v1::ClusterState state_;
  std::map<const ServedModel*, OfModel> limits_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace headroom::gateway
