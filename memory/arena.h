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

// Every Take is a multiple of this and starts at one (a cache line, and what vector loads like).
inline constexpr int64_t kArenaAlignment = 64;
constexpr int64_t AlignUp(int64_t bytes) { return (bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment; }

struct ArenaOptions {
  bool lock = false;  // mlock: the pages never go to swap
  bool check_available =
      true;              // ask the machine (and cgroup) first, so that too large a plan is an error and not a kill
  std::stop_token stop;  // gives up while memory is touched: CANCELLED
};

// Thread-safe.
class Arena {
 public:
  // RESOURCE_EXHAUSTED when the machine has less than `bytes` available. `ledger` must outlive the arena.
  static absl::StatusOr<std::unique_ptr<Arena>> Create(int64_t bytes, Ledger& ledger, const ArenaOptions& options = {});
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // `bytes` of zeroed memory at an address that is a multiple of kArenaAlignment. What a component takes in total stays
  // within its planned bytes, what alignment loses goes to kAlignment; RESOURCE_EXHAUSTED otherwise, and nothing has
  // changed.
  absl::StatusOr<std::span<std::byte>> Take(Component component, int64_t bytes);

  int64_t bytes() const { return bytes_; }
  int64_t taken() const;  // with alignment

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
