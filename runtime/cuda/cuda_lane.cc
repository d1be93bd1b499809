#include "runtime/cuda/cuda_lane.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "common/arith.h"
#include "runtime/cuda/cuda_memory.h"

namespace headroom::runtime::cuda {
namespace {

constexpr int64_t kStagingBytes = memory::kPinnedBytes / 2;
constexpr int64_t kStagingAlignment = 64;
constexpr size_t kPendingMax = 256;  // downloads between two waits; more are fetched in between

// A graph that is ready to be launched.
class Graph : public Recording {
 public:
  explicit Graph(CudaLane& lane) : lane_(lane) {}
  ~Graph() override {
    if (ready_ != nullptr) static_cast<void>(cudaGraphExecDestroy(ready_));
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  absl::Status Make(cudaGraph_t captured) {
    size_t nodes = 0;
    HEADROOM_RETURN_IF_ERROR(CudaStatus(cudaGraphGetNodes(captured, nullptr, &nodes), "counting a graph's nodes"));
    launches_ = static_cast<int64_t>(nodes);
    const std::string what = absl::StrCat("making a graph of ", nodes, " launches ready");
    HEADROOM_RETURN_IF_ERROR(CudaStatus(cudaGraphInstantiate(&ready_, captured, 0), what));
    return CudaStatus(cudaGraphUpload(ready_, lane_.stream()), what);
  }
  absl::Status Launch() override { return lane_.Launched("Graph", cudaGraphLaunch(ready_, lane_.stream())); }
  int64_t launches() const override { return launches_; }

 private:
  CudaLane& lane_;
  cudaGraphExec_t ready_ = nullptr;
  int64_t launches_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<CudaLane>> CudaLane::Create() {
  std::unique_ptr<CudaLane> lane(new CudaLane());
  HEADROOM_RETURN_IF_ERROR(
      CudaStatus(cudaStreamCreateWithFlags(&lane->stream_, cudaStreamNonBlocking), "creating a stream"));
  HEADROOM_ASSIGN_OR_RETURN(lane->pinned_, Pinned::Allocate(kStagingBytes));
  lane->pending_.reserve(kPendingMax);
  return lane;
}

CudaLane::~CudaLane() {
  if (stream_ == nullptr) return;
  static_cast<void>(cudaStreamSynchronize(stream_));
  static_cast<void>(cudaStreamDestroy(stream_));
}

absl::Status CudaLane::Launched(const char* operation, cudaError_t error) {
  const std::lock_guard lock(mutex_);
  Remember(operation);
  return CudaStatus(error, operation);
}

void CudaLane::Remember(const char* operation) {
  if (operations_++ == 0) first_ = operation;
  last_ = operation;
}

absl::StatusOr<std::span<std::byte>> CudaLane::Stage(size_t bytes) {
  if (pending_.size() == kPendingMax || staged_ == pinned_.bytes().size()) HEADROOM_RETURN_IF_ERROR(Synchronize());
  const std::span<std::byte> room = pinned_.bytes().subspan(staged_);
  const size_t part = std::min(bytes, room.size());
  staged_ += std::min(static_cast<size_t>(RoundUp(static_cast<int64_t>(part), kStagingAlignment)), room.size());
  return room.first(part);
}

absl::Status CudaLane::Upload(std::span<const std::byte> from, memory::DevicePtr to) {
  const std::lock_guard lock(mutex_);
  for (auto* at = PointerTo<std::byte>(to); !from.empty();) {
    HEADROOM_ASSIGN_OR_RETURN(const std::span<std::byte> stage, Stage(from.size()));
    std::memcpy(stage.data(), from.data(), stage.size());
    Remember("Upload");
    HEADROOM_RETURN_IF_ERROR(
        CudaStatus(cudaMemcpyAsync(at, stage.data(), stage.size(), cudaMemcpyHostToDevice, stream_), "Upload"));
    from = from.subspan(stage.size());
    at += stage.size();
  }
  return absl::OkStatus();
}

absl::Status CudaLane::Download(memory::DevicePtr from, std::span<std::byte> to) {
  const std::lock_guard lock(mutex_);
  for (const auto* at = PointerTo<const std::byte>(from); !to.empty();) {
    HEADROOM_ASSIGN_OR_RETURN(const std::span<std::byte> stage, Stage(to.size()));
    Remember("Download");
    HEADROOM_RETURN_IF_ERROR(
        CudaStatus(cudaMemcpyAsync(stage.data(), at, stage.size(), cudaMemcpyDeviceToHost, stream_), "Download"));
    pending_.push_back({.from = stage, .to = to.first(stage.size())});
    to = to.subspan(stage.size());
    at += stage.size();
  }
  return absl::OkStatus();
}

absl::Status CudaLane::Synchronize() {
  if (!lost_.ok()) return lost_;
  lost_ = CudaStatus(cudaStreamSynchronize(stream_),
                     operations_ == 0
                         ? std::string("waiting for no operation")
                         : absl::StrCat("in one of ", operations_, " operations from ", first_, " to ", last_));
  if (lost_.ok()) {
    for (const Pending& result : pending_) std::memcpy(result.to.data(), result.from.data(), result.to.size());
  }
  pending_.clear();
  staged_ = 0;
  operations_ = 0;
  return lost_;
}

absl::Status CudaLane::Lost() {
  const std::lock_guard lock(mutex_);
  return lost_;
}

absl::StatusOr<std::unique_ptr<Recording>> CudaLane::Record(const std::function<absl::Status()>& calls) {
  // Of this thread: another one may load weights meanwhile, on a stream of its own.
  HEADROOM_RETURN_IF_ERROR(
      CudaStatus(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "beginning a graph"));
  absl::Status status = calls();
  cudaGraph_t captured = nullptr;
  status.Update(CudaStatus(cudaStreamEndCapture(stream_, &captured), "ending a graph"));
  auto graph = std::make_unique<Graph>(*this);
  if (status.ok()) status = graph->Make(captured);
  if (captured != nullptr) static_cast<void>(cudaGraphDestroy(captured));
  HEADROOM_RETURN_IF_ERROR(status);
  return graph;
}

absl::Status CudaLane::Wait() {
  const std::lock_guard lock(mutex_);
  return Synchronize();
}

}  // namespace headroom::runtime::cuda
