// Memory of a device, as everything outside of a backend sees it: addresses to count with and to hand on, never to read
// or write through. Code that dereferences them does not compile; only a backend turns them into its own pointers
// (memory/device_address.h, which nothing else may include).
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stop_token>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace headroom::memory {

// An address on a device.
class DevicePtr {
 public:
  constexpr DevicePtr() = default;  // null

  constexpr explicit operator bool() const { return address_ != 0; }
  friend constexpr bool operator==(DevicePtr, DevicePtr) = default;
  friend constexpr DevicePtr operator+(DevicePtr p, int64_t bytes) {
    p.address_ += static_cast<uint64_t>(bytes);
    return p;
  }
  constexpr bool IsMultipleOf(int64_t bytes) const { return address_ % static_cast<uint64_t>(bytes) == 0; }

 private:
  friend class DeviceAddress;
  uint64_t address_ = 0;
};

struct DeviceSpan {
  DevicePtr data = {};
  int64_t bytes = 0;

  bool empty() const { return bytes == 0; }
  // The caller keeps it inside.
  DeviceSpan Sub(int64_t offset, int64_t count) const { return {data + offset, count}; }
};

// `size` numbers or plain structs, one after the other, on a device.
template <typename T>
struct DeviceArray {
  DevicePtr data = {};
  int64_t size = 0;

  constexpr DeviceArray() = default;
  constexpr DeviceArray(DevicePtr data_in, int64_t size_in) : data(data_in), size(size_in) {}
  // What can be written can be read.
  template <typename U>
  requires(std::is_same_v<T, const U>) constexpr DeviceArray(  // NOLINT(google-explicit-constructor)
      const DeviceArray<U>& other)
      : data(other.data), size(other.size) {}

  constexpr explicit operator bool() const { return static_cast<bool>(data); }
  // The caller keeps it inside.
  DeviceArray Sub(int64_t begin, int64_t count) const {
    return {data + begin * static_cast<int64_t>(sizeof(T)), count};
  }
};

// Host memory that the copies of a card (device.kind cuda) pass through, pinned for as long as the process lives.
inline constexpr int64_t kPinnedBytes = int64_t{16} << 20;

// Where a device's memory comes from, and copies outside of its lane (runtime/device.h has those in lane order).
// Thread-safe.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;

  // `bytes` of zeroed memory that is there from now on: later use takes nothing more from the machine. It starts at a
  // multiple of 64. RESOURCE_EXHAUSTED when the device has less; CANCELLED when `stop` fires first.
  virtual absl::StatusOr<DeviceSpan> Reserve(int64_t bytes, const std::stop_token& stop) = 0;
  // What Reserve gave, whole.
  virtual void Release(DeviceSpan memory) = 0;

  // Done when they return. No operation of the lane may be at work on that memory.
  virtual absl::Status Write(std::span<const std::byte> from, DevicePtr to) = 0;
  virtual absl::Status Read(DevicePtr from, std::span<std::byte> to) = 0;

  // Write() for many pieces in a row: `from` is the caller's again when it returns, the copy may still travel. Finish()
  // waits for all of them.
  virtual absl::Status WriteSoon(std::span<const std::byte> from, DevicePtr to) { return Write(from, to); }
  virtual absl::Status Finish() { return absl::OkStatus(); }
};

}  // namespace headroom::memory
