// The memory of one emulated device: addresses that fault on the host, what lies behind them, who may touch which
// range, and which bytes were ever written. Device and host see different addresses for the same byte, as on hardware.
#pragma once

#include <cstdint>
#include <map>
#include <shared_mutex>
#include <string>
#include <vector>

namespace emulation {

class DeviceMemory {
 public:
  struct Range {
    uint64_t begin = 0;
    uint64_t bytes = 0;
    std::string name;  // of a declared region, else empty
    uint64_t end() const { return begin + bytes; }
  };

  // Reserves `address_bytes` of addresses; nothing is taken from the machine before it is touched.
  explicit DeviceMemory(uint64_t address_bytes);
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  // Thread safe. 0 when no gap is large enough. New memory counts as never written.
  uint64_t Allocate(uint64_t bytes, uint64_t alignment = 256);
  // The bytes that were allocated there, 0 when nothing was.
  uint64_t Free(uint64_t address);
  // The allocation that holds `address`, or one with 0 bytes.
  Range AllocationAt(uint64_t address) const;
  bool Contains(uint64_t address) const { return address - base_ < address_bytes_; }

  // Splits an allocation: from now on kernels may touch the declared regions of it only.
  bool DeclareHeap(uint64_t address);
  bool DeclareRegion(uint64_t address, uint64_t bytes, const std::string& name);
  bool ForgetRegion(uint64_t address);
  // A declared region ends elsewhere. What it gains counts as never written.
  bool ResizeRegion(uint64_t address, uint64_t bytes);

  // What a kernel may touch around `address`: the range that holds it, or the one below it. A launch holds Lock() and
  // calls this.
  Range RangeAt(uint64_t address) const;
  std::shared_lock<std::shared_mutex> Lock() const { return std::shared_lock(mutex_); }

  // Where a device address lies on the host.
  uint8_t* Host(uint64_t address) const { return reinterpret_cast<uint8_t*>(address + host_offset_); }
  // 1 for every byte that was written since its allocation.
  uint8_t* Written(uint64_t address) const { return written_ + (address - base_); }
  void MarkWritten(uint64_t address, uint64_t bytes);

 private:
  void ForgetBytes(uint64_t address, uint64_t bytes);

  uint64_t address_bytes_;
  uint64_t base_;
  uint8_t* host_;
  uint8_t* written_;
  int64_t host_offset_;
  mutable std::shared_mutex mutex_;
  std::map<uint64_t, Range> allocations_;
  std::map<uint64_t, Range> ranges_;
};

}  // namespace emulation
