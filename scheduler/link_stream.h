// The server's end of one WorkerLink stream.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "headroom/v1/scheduler.pb.h"
#include "scheduler/core_runner.h"

namespace headroom::scheduler {

// Keeps itself alive until gRPC has finished with it.
class LinkStream : public grpc::ServerBidiReactor<v1::WorkerMessage, v1::SchedulerMessage>, public LinkPeer {
 public:
  // For gRPC to own.
  static LinkStream* Open(std::string cluster_id, int64_t heartbeat_ms, CoreRunner& core);

  void Greet(uint64_t epoch) override;
  void Release() override;
  void Close(const absl::Status& status) override;

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override { Close(absl::CancelledError("the stream was cancelled")); }
  void OnDone() override;

 private:
  LinkStream(std::string cluster_id, int64_t heartbeat_ms, CoreRunner& core)
      : cluster_id_(std::move(cluster_id)), heartbeat_ms_(heartbeat_ms), core_(core) {}
  void WriteLocked();
  void FinishLocked(const absl::Status& status);

  const std::string cluster_id_;
  const int64_t heartbeat_ms_;
  CoreRunner& core_;
  admission::LinkId link_ = 0;
  std::shared_ptr<LinkStream> self_;
  v1::WorkerMessage received_;

  std::mutex mutex_;
  uint64_t epoch_told_ = 0;
  uint64_t epoch_to_tell_ = 0;
  bool release_to_tell_ = false;
  bool writing_ = false;
  bool finished_ = false;
  std::optional<absl::Status> closing_;  // once the write that is under way has ended
  v1::SchedulerMessage sent_;
};

}  // namespace headroom::scheduler
