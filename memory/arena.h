// All memory that a worker will ever use on its device, mapped and touched in one step at start. After that, Take()
// hands parts of it out by component and nothing else allocates; memory goes back only when the arena dies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>

#include "absl/status/statusor.h"
#include "memory/component.h"
#include "memory/ledger.h"

namespace headroom::memory {

// Thread-safe.
class Arena {
 public:
  // RESOURCE_EXHAUSTED when the machine or its control group has less than `bytes` available; CANCELLED when `stop` is
  // requested while memory is touched. `ledger` must outlive the arena.
  static absl::StatusOr<std::unique_ptr<Arena>> Create(int64_t bytes, Ledger& ledger, const std::stop_token& stop = {});
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // `bytes` of zeroed memory at an address that is a multiple of kArenaAlignment. What a component takes in total stays
  // within its planned bytes, what alignment loses goes to kAlignment; RESOURCE_EXHAUSTED otherwise, and nothing has
  // changed.
  absl::StatusOr<std::span<std::byte>> Take(Component component, int64_t bytes);

  int64_t bytes() const { return bytes_; }
  // Bytes with alignment. For tests: that a plan and what is taken of it are the same number.
  int64_t taken() const;

 private:
  Arena(std::byte* base, int64_t bytes, Ledger& ledger);

  std::byte* const base_;
  const int64_t bytes_;
  Ledger& ledger_;
  mutable std::mutex mutex_;
  int64_t next_ = 0;
  std::array<int64_t, kComponents> taken_by_{};
};

}  // namespace headroom::memory
