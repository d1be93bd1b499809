#include "runtime/cuda/cuda_memory.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace headroom::runtime::cuda {
namespace {

constexpr int64_t kBufferBytes = memory::kPinnedBytes / 4;  // the lane has the other half

}  // namespace

absl::StatusOr<std::unique_ptr<CudaMemory>> CudaMemory::Create(std::function<void(int64_t bytes)> reserved) {
  std::unique_ptr<CudaMemory> memory(new CudaMemory());
  memory->reserved_ = std::move(reserved);
  HEADROOM_RETURN_IF_ERROR(
      CudaStatus(cudaStreamCreateWithFlags(&memory->stream_, cudaStreamNonBlocking), "creating a stream"));
  for (Buffer& buffer : memory->buffers_) {
    HEADROOM_ASSIGN_OR_RETURN(buffer.pinned, Pinned::Allocate(kBufferBytes));
    HEADROOM_RETURN_IF_ERROR(
        CudaStatus(cudaEventCreateWithFlags(&buffer.copied, cudaEventDisableTiming), "creating an event"));
  }
  return memory;
}

CudaMemory::~CudaMemory() {
  for (const Buffer& buffer : buffers_) {
    if (buffer.copied != nullptr) static_cast<void>(cudaEventDestroy(buffer.copied));
  }
  if (stream_ != nullptr) static_cast<void>(cudaStreamDestroy(stream_));
}

absl::StatusOr<memory::DeviceSpan> CudaMemory::Reserve(int64_t bytes, const std::stop_token& stop) {
  if (bytes < 1) return absl::InvalidArgumentError(absl::StrCat("device memory: ", bytes, " bytes is below 1"));
  if (stop.stop_requested()) return absl::CancelledError("device memory: stopped before it was reserved");
  void* data = nullptr;
  const auto size = static_cast<size_t>(bytes);
  if (const cudaError_t error = cudaMalloc(&data, size); error != cudaSuccess) {
    static_cast<void>(cudaGetLastError());  // a refusal is told here, and stays on the thread no longer
    size_t free = 0, total = 0;
    static_cast<void>(cudaMemGetInfo(&free, &total));
    return CudaStatus(error, absl::StrCat("device memory: the plan takes ", bytes, " bytes, the card has ", free,
                                          " free of ", total));
  }
  const std::lock_guard lock(mutex_);
  absl::Status zeroed = CudaStatus(cudaMemsetAsync(data, 0, size, stream_), "zeroing memory");
  zeroed.Update(CudaStatus(cudaStreamSynchronize(stream_), "zeroing memory"));
  if (!zeroed.ok()) {
    static_cast<void>(cudaFree(data));
    return zeroed;
  }
  reserved_(bytes);
  return memory::DeviceSpan{memory::DeviceAddress::Make(reinterpret_cast<uint64_t>(data)), bytes};
}

void CudaMemory::Release(memory::DeviceSpan memory) {
  static_cast<void>(cudaFree(PointerTo<void>(memory.data)));
  reserved_(-memory.bytes);
}

absl::Status CudaMemory::CopyIn(std::span<const std::byte> from, std::byte* to) {
  while (!from.empty()) {
    const Buffer& buffer = buffers_[std::exchange(next_, 1 - next_)];
    const size_t part = std::min(from.size(), buffer.pinned.bytes().size());
    HEADROOM_RETURN_IF_ERROR(CudaStatus(cudaEventSynchronize(buffer.copied), "copying to the card"));
    std::memcpy(buffer.pinned.bytes().data(), from.data(), part);
    HEADROOM_RETURN_IF_ERROR(
        CudaStatus(cudaMemcpyAsync(to, buffer.pinned.bytes().data(), part, cudaMemcpyHostToDevice, stream_),
                   "copying to the card"));
    HEADROOM_RETURN_IF_ERROR(CudaStatus(cudaEventRecord(buffer.copied, stream_), "copying to the card"));
    from = from.subspan(part);
    to += part;
  }
  return absl::OkStatus();
}

absl::Status CudaMemory::Synchronize() { return CudaStatus(cudaStreamSynchronize(stream_), "copying to the card"); }

absl::Status CudaMemory::CopyOut(const std::byte* from, std::span<std::byte> to) {
  const std::span<std::byte> pinned = buffers_[0].pinned.bytes();
  while (!to.empty()) {
    const size_t part = std::min(to.size(), pinned.size());
    HEADROOM_RETURN_IF_ERROR(CudaStatus(cudaMemcpyAsync(pinned.data(), from, part, cudaMemcpyDeviceToHost, stream_),
                                        "copying from the card"));
    HEADROOM_RETURN_IF_ERROR(CudaStatus(cudaStreamSynchronize(stream_), "copying from the card"));
    std::memcpy(to.data(), pinned.data(), part);
    to = to.subspan(part);
    from += part;
  }
  return absl::OkStatus();
}

absl::Status CudaMemory::Write(std::span<const std::byte> from, memory::DevicePtr to) {
  const std::lock_guard lock(mutex_);
  HEADROOM_RETURN_IF_ERROR(CopyIn(from, PointerTo<std::byte>(to)));
  return Synchronize();
}

// While this piece travels, the caller reads the next one, and its copy goes into the other buffer.
absl::Status CudaMemory::WriteSoon(std::span<const std::byte> from, memory::DevicePtr to) {
  const std::lock_guard lock(mutex_);
  return CopyIn(from, PointerTo<std::byte>(to));
}

absl::Status CudaMemory::Finish() {
  const std::lock_guard lock(mutex_);
  return Synchronize();
}

absl::Status CudaMemory::Read(memory::DevicePtr from, std::span<std::byte> to) {
  const std::lock_guard lock(mutex_);
  return CopyOut(PointerTo<const std::byte>(from), to);
}

}  // namespace headroom::runtime::cuda
