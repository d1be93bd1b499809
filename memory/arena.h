// All memory that a worker will ever use on its device, reserved in one step at start. After that, Take()
// hands parts of it out by component and nothing else allocates; memory goes back only when the arena dies.
#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>

#include "absl/status/statusor.h"
#include "memory/component.h"
#include "memory/device_memory.h"
#include "memory/ledger.h"

namespace headroom::memory {

// Thread-safe.
class Arena {
 public:
  // One reservation of `memory`, whose errors it returns. `memory` and `ledger` must outlive the arena.
  static absl::StatusOr<std::unique_ptr<Arena>> Create(int64_t bytes, DeviceMemory& memory, Ledger& ledger,
                                                       const std::stop_token& stop = {});
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // `bytes` of zeroed memory at an address that is a multiple of kArenaAlignment. What a component takes in total stays
  // within its planned bytes, what alignment loses goes to kAlignment; RESOURCE_EXHAUSTED otherwise, and nothing has
  // changed.
  absl::StatusOr<DeviceSpan> Take(Component component, int64_t bytes);

  DeviceMemory& memory() { return memory_; }
  int64_t bytes() const { return reserved_.bytes; }
  // Bytes with alignment. For tests: that a plan and what is taken of it are the same number.
  int64_t taken() const;

 private:
  Arena(DeviceMemory& memory, DeviceSpan reserved, Ledger& ledger);

  DeviceMemory& memory_;
  const DeviceSpan reserved_;
  Ledger& ledger_;
  mutable std::mutex mutex_;
  int64_t next_ = 0;
  std::array<int64_t, kComponents> taken_by_{};
};

}  // namespace headroom::memory
