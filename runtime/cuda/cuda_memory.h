// Memory of a card: one cudaMalloc a reservation, and copies on a stream of their own.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <memory>
#include <mutex>

#include "common/status.h"
#include "memory/device_address.h"
#include "memory/device_memory.h"
#include "runtime/cuda/pinned.h"

namespace headroom::runtime::cuda {

// Null for null.
template <typename T>
T* PointerTo(memory::DevicePtr p) {
  return reinterpret_cast<T*>(memory::DeviceAddress::Of(p));  // NOLINT(performance-no-int-to-ptr)
}
template <typename T>
T* PointerTo(const memory::DeviceArray<T>& array) {
  return PointerTo<T>(array.data);
}

class CudaMemory : public memory::DeviceMemory {
 public:
  // `reserved` hears of every reservation, negative when it is given back.
  static absl::StatusOr<std::unique_ptr<CudaMemory>> Create(std::function<void(int64_t bytes)> reserved);
  ~CudaMemory() override;

  // INVALID_ARGUMENT on bytes below 1; RESOURCE_EXHAUSTED, with what is free, when the card has less; CANCELLED.
  absl::StatusOr<memory::DeviceSpan> Reserve(int64_t bytes, const std::stop_token& stop) override;
  void Release(memory::DeviceSpan memory) override;
  // Through two pinned buffers: one is filled while the other one travels.
  absl::Status Write(std::span<const std::byte> from, memory::DevicePtr to) override;
  absl::Status WriteSoon(std::span<const std::byte> from, memory::DevicePtr to) override;
  absl::Status Finish() override;
  absl::Status Read(memory::DevicePtr from, std::span<std::byte> to) override;

 private:
  struct Buffer {
    Pinned pinned;
    cudaEvent_t copied = nullptr;
  };
  CudaMemory() = default;
  absl::Status CopyIn(std::span<const std::byte> from, std::byte* to);
  absl::Status Synchronize();
  absl::Status CopyOut(const std::byte* from, std::span<std::byte> to);

  std::function<void(int64_t bytes)> reserved_;
  std::mutex mutex_;  // of the copies
  cudaStream_t stream_ = nullptr;
  Buffer buffers_[2];
  size_t next_ = 0;  // of buffers_, in turns
};

}  // namespace headroom::runtime::cuda
