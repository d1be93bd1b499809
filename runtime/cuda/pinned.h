// Host memory that a card copies to and from by itself.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/status.h"
#include "runtime/cuda/cuda_status.h"

namespace headroom::runtime::cuda {

class Pinned {
 public:
  static absl::StatusOr<Pinned> Allocate(int64_t bytes) {
    void* data = nullptr;
    HEADROOM_RETURN_IF_ERROR(CudaStatus(cudaHostAlloc(&data, static_cast<size_t>(bytes), cudaHostAllocDefault),
                                        absl::StrCat("pinning ", bytes, " bytes of host memory")));
    return Pinned(static_cast<std::byte*>(data), static_cast<size_t>(bytes));
  }
  Pinned() = default;
  Pinned(Pinned&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  Pinned& operator=(Pinned&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Pinned() {
    if (!bytes_.empty()) static_cast<void>(cudaFreeHost(bytes_.data()));
  }

  std::span<std::byte> bytes() const { return bytes_; }

 private:
  Pinned(std::byte* data, size_t size) : bytes_(data, size) {}
  std::span<std::byte> bytes_;
};

}  // namespace headroom::runtime::cuda
