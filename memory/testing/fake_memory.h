// Device memory for tests below runtime/: its addresses are numbers that no pointer could have.
#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "memory/device_address.h"
#include "memory/device_memory.h"

namespace headroom::memory::testing {

class FakeMemory : public DeviceMemory {
 public:
  explicit FakeMemory(int64_t capacity = int64_t{1} << 40) : left_(capacity) {}
  ~FakeMemory() override { HEADROOM_CHECK(blocks_.empty()) << blocks_.size() << " reservations outlive the memory"; }

  absl::StatusOr<DeviceSpan> Reserve(int64_t bytes, const std::stop_token& stop) override {
    if (stop.stop_requested()) return absl::CancelledError("stopped");
    const std::lock_guard lock(mutex_);
    if (bytes > left_) return absl::ResourceExhaustedError(absl::StrCat(bytes, " bytes of ", left_));
    left_ -= bytes;
    const uint64_t address = next_;
    next_ += (static_cast<uint64_t>(bytes) + 4096) & ~uint64_t{63};
    blocks_[address].resize(static_cast<size_t>(bytes));
    return DeviceSpan{DeviceAddress::Make(address), bytes};
  }
  void Release(DeviceSpan memory) override {
    const std::lock_guard lock(mutex_);
    left_ += memory.bytes;
    HEADROOM_CHECK(blocks_.erase(DeviceAddress::Of(memory.data)) == 1) << "no such reservation";
  }
  absl::Status Write(std::span<const std::byte> from, DevicePtr to) override {
    std::memcpy(At(to, from.size()), from.data(), from.size());
    return absl::OkStatus();
  }
  absl::Status Read(DevicePtr from, std::span<std::byte> to) override {
    std::memcpy(to.data(), At(from, to.size()), to.size());
    return absl::OkStatus();
  }

 private:
  std::byte* At(DevicePtr p, size_t bytes) {
    const std::lock_guard lock(mutex_);
    auto block = blocks_.upper_bound(DeviceAddress::Of(p));
    HEADROOM_CHECK(block != blocks_.begin()) << "outside of what was reserved";
    --block;
    const size_t offset = DeviceAddress::Of(p) - block->first;
    HEADROOM_CHECK(offset + bytes <= block->second.size()) << "outside of what was reserved";
    return block->second.data() + offset;
  }

  std::mutex mutex_;
  int64_t left_;
  uint64_t next_ = 64;
  std::map<uint64_t, std::vector<std::byte>> blocks_;
};

// One reservation and its memory.
class FakeRegion {
 public:
  explicit FakeRegion(int64_t bytes) : span_(*memory_.Reserve(bytes, {})) {}
  ~FakeRegion() { memory_.Release(span_); }
  FakeRegion(const FakeRegion&) = delete;
  FakeRegion& operator=(const FakeRegion&) = delete;

  FakeMemory& memory() { return memory_; }
  const DeviceSpan& span() const { return span_; }
  void Fill(const DeviceSpan& part, char value) {
    const std::vector<std::byte> bytes(static_cast<size_t>(part.bytes), static_cast<std::byte>(value));
    HEADROOM_CHECK(memory_.Write(bytes, part.data).ok());
  }

 private:
  FakeMemory memory_;
  DeviceSpan span_;
};

}  // namespace headroom::memory::testing
