// Allocations and copies.
#include <sys/mman.h>

#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>

#include "tests/emulation/cudart/api.h"

namespace emulation {
namespace {

constexpr int kPoison = 0xcb;

std::mutex pinned_mutex;
struct Pinned {
  size_t bytes;
  bool registered;  // by cudaHostRegister: the memory is the program's
};
std::map<uintptr_t, Pinned>& PinnedRanges() {
  static auto* const ranges = new std::map<uintptr_t, Pinned>();
  return *ranges;
}
uint64_t host_allocations = 0;

// As programs see an address of device memory.
void* Pointer(uint64_t address) { return reinterpret_cast<void*>(address); }  // NOLINT(performance-no-int-to-ptr)

// Of the bytes; to see whether somebody changed them before the copy happened.
uint64_t Digest(const void* data, size_t bytes) {
  uint64_t hash = 0xcbf29ce484222325;
  const auto* p = static_cast<const uint8_t*>(data);
  for (; bytes >= 8; bytes -= 8, p += 8) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    hash = (hash ^ word) * 0x100000001b3;
    hash ^= hash >> 29;
  }
  for (; bytes > 0; bytes--, p++) hash = (hash ^ *p) * 0x100000001b3;
  return hash;
}

// Within one allocation, or one declared region of it.
bool Covered(Device& device, const void* address, size_t bytes) {
  const auto lock = device.memory().Lock();
  const auto begin = reinterpret_cast<uint64_t>(address);
  const DeviceMemory::Range range = device.memory().RangeAt(begin);
  if (begin >= range.begin && begin + bytes <= range.end()) return true;
  fprintf(stderr, "emulated GPU %d: a copy of %zu bytes at %p leaves %s of %zu bytes\n", device.number(), bytes,
          address, range.name.empty() ? "its allocation" : range.name.c_str(), static_cast<size_t>(range.bytes));
  return false;
}

struct Ends {
  Device* to;
  Device* from;
};

cudaError_t CheckKind(const Ends& ends, cudaMemcpyKind kind) {
  const bool to = ends.to != nullptr, from = ends.from != nullptr;
  switch (kind) {
    case cudaMemcpyHostToHost:
      return !to && !from ? cudaSuccess : cudaErrorInvalidValue;
    case cudaMemcpyHostToDevice:
      return to && !from ? cudaSuccess : cudaErrorInvalidValue;
    case cudaMemcpyDeviceToHost:
      return !to && from ? cudaSuccess : cudaErrorInvalidValue;
    case cudaMemcpyDeviceToDevice:
      return to && from ? cudaSuccess : cudaErrorInvalidValue;
    case cudaMemcpyDefault:
      return cudaSuccess;
  }
  return cudaErrorInvalidMemcpyDirection;
}

void CopyOnDevice(const Ends& ends, void* to, const void* from, size_t bytes) {
  const auto a = reinterpret_cast<uint64_t>(to), b = reinterpret_cast<uint64_t>(from);
  memmove(ends.to->memory().Host(a), ends.from->memory().Host(b), bytes);
  memmove(ends.to->memory().Written(a), ends.from->memory().Written(b), bytes);  // unwritten stays unwritten
}

// The source may not change between the call and the copy. During capture the graph reads it at every launch, so there
// is nothing to compare.
cudaError_t PushUpload(Device& device, void* to, const void* from, size_t bytes,
                       const std::shared_ptr<Stream>& stream) {
  const auto address = reinterpret_cast<uint64_t>(to);
  const bool compare = !stream->capture;
  const uint64_t digest = compare ? Digest(from, bytes) : 0;
  return Push(stream, [&device, address, from, bytes, compare, digest] {
    if (compare && Digest(from, bytes) != digest) {
      return device.Break(cudaErrorLaunchFailure,
                          "host mistake: " + std::to_string(bytes) +
                              " bytes of pinned memory were changed between cudaMemcpyAsync and the copy");
    }
    memcpy(device.memory().Host(address), from, bytes);
    device.memory().MarkWritten(address, bytes);
  });
}

cudaError_t PushDownload(Device& device, void* to, const void* from, size_t bytes,
                         const std::shared_ptr<Stream>& stream) {
  const auto address = reinterpret_cast<uint64_t>(from);
  // Until the stream was waited for the target holds nothing; whoever reads it now shall see that.
  if (!stream->capture && GetSettings().streams != StreamOrder::kEager) memset(to, kPoison, bytes);
  return Push(stream, [&device, to, address, bytes] { memcpy(to, device.memory().Host(address), bytes); });
}

cudaError_t Fill(void* to, int value, size_t bytes, const std::shared_ptr<Stream>& stream) {
  Device* device = OwnerOf(to);
  if (device == nullptr || !Covered(*device, to, bytes)) return cudaErrorInvalidValue;
  return Push(stream, [device, to, value, bytes] {
    const auto address = reinterpret_cast<uint64_t>(to);
    memset(device->memory().Host(address), value, bytes);
    device->memory().MarkWritten(address, bytes);
  });
}

cudaError_t Refused(const char* call) {
  fprintf(stderr, "emulated GPU: %s is not there: cudaDevAttrMemoryPoolsSupported and cudaDevAttrManagedMemory are 0\n",
          call);
  return Note(cudaErrorNotSupported);
}

}  // namespace

bool IsPinned(const void* address, size_t bytes) {
  const std::lock_guard lock(pinned_mutex);
  const auto begin = reinterpret_cast<uintptr_t>(address);
  auto it = PinnedRanges().upper_bound(begin);
  return it != PinnedRanges().begin() && begin + bytes <= (--it)->first + it->second.bytes;
}

cudaError_t CopyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                      const std::shared_ptr<Stream>& stream) {
  if (stream == nullptr) return cudaErrorInvalidResourceHandle;
  if (bytes == 0) return cudaSuccess;
  const Ends ends = {OwnerOf(to), OwnerOf(from)};
  if (const cudaError_t error = CheckKind(ends, kind); error != cudaSuccess) return error;
  if (ends.to != nullptr && !Covered(*ends.to, to, bytes)) return cudaErrorInvalidValue;
  if (ends.from != nullptr && !Covered(*ends.from, from, bytes)) return cudaErrorInvalidValue;
  if (ends.to != nullptr && ends.from != nullptr) {
    return Push(stream, [=] { CopyOnDevice(ends, to, from, bytes); });
  }
  if (ends.to == nullptr && ends.from == nullptr) {
    return Push(stream, [=] { memmove(to, from, bytes); });
  }
  const void* host = ends.to != nullptr ? from : to;
  if (IsPinned(host, bytes)) {
    return ends.to != nullptr ? PushUpload(*ends.to, to, from, bytes, stream)
                              : PushDownload(*ends.from, to, from, bytes, stream);
  }
  // Pageable memory: the source is staged before the call returns, and a copy to it is over when the call returns.
  if (stream->capture) return cudaErrorStreamCaptureUnsupported;
  if (ends.to != nullptr) {
    const auto* data = static_cast<const uint8_t*>(from);
    auto staged = std::make_shared<std::vector<uint8_t>>(data, data + bytes);
    Device* device = ends.to;
    return Push(stream, [=] {
      memcpy(device->memory().Host(reinterpret_cast<uint64_t>(to)), staged->data(), bytes);
      device->memory().MarkWritten(reinterpret_cast<uint64_t>(to), bytes);
    });
  }
  if (const cudaError_t error = PushDownload(*ends.from, to, from, bytes, stream); error != cudaSuccess) return error;
  return Wait(*stream, stream->end());
}

}  // namespace emulation

using namespace emulation;  // NOLINT(google-build-using-namespace): the functions below are in no namespace

extern "C" {

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  if (pointer == nullptr) return Note(cudaErrorInvalidValue);
  *pointer = nullptr;
  if (const cudaError_t error = Enter(); error != cudaSuccess) return Note(error);
  if (CaptureForbids()) return Note(cudaErrorStreamCaptureUnsupported);
  if (bytes == 0) return cudaSuccess;
  uint64_t address = 0;
  const cudaError_t error = CurrentDevice().Malloc(bytes, &address);
  if (error == cudaSuccess) *pointer = Pointer(address);
  return Note(error);
}

cudaError_t cudaFree(void* pointer) {
  if (const cudaError_t error = Enter(); error != cudaSuccess) return Note(error);
  if (CaptureForbids()) return Note(cudaErrorStreamCaptureUnsupported);
  if (pointer == nullptr) return cudaSuccess;
  Device* device = OwnerOf(pointer);
  if (device == nullptr) return Note(cudaErrorInvalidValue);
  // Waits for what may still use the memory.
  if (const cudaError_t error = WaitForDevice(*device); error != cudaSuccess) return Note(error);
  return Note(device->Free(reinterpret_cast<uint64_t>(pointer)));
}

cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned int) {
  if (const cudaError_t error = Enter(); error != cudaSuccess) return Note(error);
  if (CaptureForbids()) return Note(cudaErrorStreamCaptureUnsupported);
  const std::lock_guard lock(pinned_mutex);
  if (GetSettings().faults.Hits("hostalloc", ++host_allocations)) return Note(cudaErrorMemoryAllocation);
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return Note(cudaErrorMemoryAllocation);
  PinnedRanges()[reinterpret_cast<uintptr_t>(p)] = {bytes, false};
  *pointer = p;
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** pointer, size_t bytes) { return cudaHostAlloc(pointer, bytes, cudaHostAllocDefault); }

cudaError_t cudaFreeHost(void* pointer) {
  if (pointer == nullptr) return cudaSuccess;
  for (const auto& device : Devices()) WaitForDevice(*device);
  const std::lock_guard lock(pinned_mutex);
  const auto it = PinnedRanges().find(reinterpret_cast<uintptr_t>(pointer));
  if (it == PinnedRanges().end() || it->second.registered) return Note(cudaErrorInvalidValue);
  munmap(pointer, it->second.bytes);
  PinnedRanges().erase(it);
  return cudaSuccess;
}

cudaError_t cudaHostRegister(void* pointer, size_t bytes, unsigned int) {
  if (const cudaError_t error = Enter(); error != cudaSuccess) return Note(error);
  if (IsPinned(pointer, 1)) return Note(cudaErrorHostMemoryAlreadyRegistered);
  const std::lock_guard lock(pinned_mutex);
  PinnedRanges()[reinterpret_cast<uintptr_t>(pointer)] = {bytes, true};
  return cudaSuccess;
}

cudaError_t cudaHostUnregister(void* pointer) {
  const std::lock_guard lock(pinned_mutex);
  const auto it = PinnedRanges().find(reinterpret_cast<uintptr_t>(pointer));
  if (it == PinnedRanges().end() || !it->second.registered) return Note(cudaErrorHostMemoryNotRegistered);
  PinnedRanges().erase(it);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (const cudaError_t error = Enter(); error != cudaSuccess) return Note(error);
  return Note(CopyAsync(to, from, bytes, kind, FindStream(stream)));
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (const cudaError_t error = Enter(); error != cudaSuccess) return Note(error);
  if (CaptureForbids()) return Note(cudaErrorStreamCaptureUnsupported);
  const std::shared_ptr<Stream> stream = FindStream(nullptr);
  if (const cudaError_t error = CopyAsync(to, from, bytes, kind, stream); error != cudaSuccess) return Note(error);
  return Note(Wait(*stream, stream->end()));
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t handle) {
  if (const cudaError_t error = Enter(); error != cudaSuccess) return Note(error);
  const std::shared_ptr<Stream> stream = FindStream(handle);
  if (stream == nullptr) return Note(cudaErrorInvalidResourceHandle);
  return Note(bytes == 0 ? cudaSuccess : Fill(to, value, bytes, stream));
}
// On a card it returns before the memory is set; so it does here.
cudaError_t cudaMemset(void* to, int value, size_t bytes) { return cudaMemsetAsync(to, value, bytes, nullptr); }

cudaError_t cudaMemcpyToSymbol(const void* symbol, const void* from, size_t bytes, size_t offset, cudaMemcpyKind kind) {
  uint64_t address = 0, size = 0;
  if (const cudaError_t error = FindSymbol(symbol, &address, &size); error != cudaSuccess) return Note(error);
  if (offset + bytes > size) return Note(cudaErrorInvalidValue);
  return cudaMemcpy(Pointer(address + offset), from, bytes, kind);
}
cudaError_t cudaMemcpyFromSymbol(void* to, const void* symbol, size_t bytes, size_t offset, cudaMemcpyKind kind) {
  uint64_t address = 0, size = 0;
  if (const cudaError_t error = FindSymbol(symbol, &address, &size); error != cudaSuccess) return Note(error);
  if (offset + bytes > size) return Note(cudaErrorInvalidValue);
  return cudaMemcpy(to, Pointer(address + offset), bytes, kind);
}
cudaError_t cudaGetSymbolAddress(void** pointer, const void* symbol) {
  uint64_t address = 0, size = 0;
  const cudaError_t error = FindSymbol(symbol, &address, &size);
  if (error == cudaSuccess) *pointer = Pointer(address);
  return Note(error);
}
cudaError_t cudaGetSymbolSize(size_t* bytes, const void* symbol) {
  uint64_t address = 0, size = 0;
  const cudaError_t error = FindSymbol(symbol, &address, &size);
  if (error == cudaSuccess) *bytes = size;
  return Note(error);
}

// What a program that promises memory has no use for: pools that grow by themselves, memory that pages.
cudaError_t cudaMallocAsync(void**, size_t, cudaStream_t) { return Refused("cudaMallocAsync"); }
cudaError_t cudaFreeAsync(void*, cudaStream_t) { return Refused("cudaFreeAsync"); }
cudaError_t cudaMallocManaged(void**, size_t, unsigned int) { return Refused("cudaMallocManaged"); }

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  *attributes = {};
  Device* device = OwnerOf(pointer);
  if (device != nullptr && device->memory().AllocationAt(reinterpret_cast<uint64_t>(pointer)).bytes > 0) {
    attributes->type = cudaMemoryTypeDevice;
    attributes->device = ProgramNumberOf(*device);
    attributes->devicePointer = const_cast<void*>(pointer);
  } else if (IsPinned(pointer, 1)) {
    attributes->type = cudaMemoryTypeHost;
    attributes->hostPointer = const_cast<void*>(pointer);
  } else {
    attributes->type = cudaMemoryTypeUnregistered;
    attributes->device = -1;
  }
  return cudaSuccess;
}

}  // extern "C"
