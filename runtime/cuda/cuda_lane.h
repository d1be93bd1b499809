// A device's lane as a stream: operations are launched on it, copies pass through pinned memory beside it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "common/status.h"
#include "memory/device_memory.h"
#include "runtime/cuda/pinned.h"
#include "runtime/device.h"

namespace headroom::runtime::cuda {

// Thread-safe, as far as device.h asks for it: a Wait() may come from a thread that holds no lane.
class CudaLane {
 public:
  static absl::StatusOr<std::unique_ptr<CudaLane>> Create();
  ~CudaLane();
  CudaLane(const CudaLane&) = delete;
  CudaLane& operator=(const CudaLane&) = delete;

  cudaStream_t stream() const { return stream_; }

  // Right after `operation` was put on the stream, with what its launch answered.
  absl::Status Launched(const char* operation, cudaError_t error);

  // Host memory is copied away at once, and filled by Wait().
  absl::Status Upload(std::span<const std::byte> from, memory::DevicePtr to);
  absl::Status Download(memory::DevicePtr from, std::span<std::byte> to);
  // An error of the card stays: every later Wait() tells it again, because nothing works any more in this process.
  absl::Status Wait();
  absl::Status Lost();

  // As Device::Record: a graph, captured from the stream while this thread calls.
  absl::StatusOr<std::unique_ptr<Recording>> Record(const std::function<absl::Status()>& calls);

 private:
  struct Pending {
    std::span<const std::byte> from;
    std::span<std::byte> to;
  };
  CudaLane() = default;
  // Room for up to `bytes` in the pinned memory; waits where there is none. With mutex_ held, as the next two.
  absl::StatusOr<std::span<std::byte>> Stage(size_t bytes);
  absl::Status Synchronize();
  void Remember(const char* operation);

  cudaStream_t stream_ = nullptr;
  Pinned pinned_;
  std::mutex mutex_;
  size_t staged_ = 0;             // bytes of pinned_ in use until the next Synchronize()
  std::vector<Pending> pending_;  // results on their way
  // What was called since the last Synchronize(): the card does not say which operation failed.
  const char* first_ = nullptr;
  const char* last_ = nullptr;
  int64_t operations_ = 0;
  absl::Status lost_;  // the first error that stays
};

}  // namespace headroom::runtime::cuda
