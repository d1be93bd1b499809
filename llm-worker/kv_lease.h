// What a sequence holds of its worker: the active leg of its grant, and the same bytes in the ledger's KV line.
// Dropping it gives both back.
#pragma once

#include <cstdint>

#include "admission/worker_gate.h"
#include "memory/ledger.h"

namespace headroom::llm_worker {

// Movable. `ledger` must outlive it. All legs of a gate together stay within its capacity, and the KV line is planned
// for that capacity, so reserving here cannot fail.
class KvLease {
 public:
  KvLease() = default;
  KvLease(admission::ActiveLeg leg, memory::Ledger* ledger, int64_t block_bytes)
      : leg_(std::move(leg)), ledger_(ledger), block_bytes_(block_bytes) {
    ledger_->AddReserved(memory::Component::kKvPool, leg_.resources().kv_blocks * block_bytes_);
  }
  KvLease(KvLease&& other) noexcept { *this = std::move(other); }
  KvLease& operator=(KvLease&& other) noexcept {
    if (this == &other) return *this;
    Release();
    leg_ = std::move(other.leg_);
    ledger_ = std::exchange(other.ledger_, nullptr);
    block_bytes_ = other.block_bytes_;
    blocks_used_ = std::exchange(other.blocks_used_, 0);
    return *this;
  }
  ~KvLease() { Release(); }

  int64_t blocks_reserved() const { return leg_.resources().kv_blocks; }
  int64_t blocks_used() const { return blocks_used_; }

  // RESOURCE_EXHAUSTED, and nothing changes, above what the leg reserved.
  absl::Status Use(int64_t blocks) {
    HEADROOM_RETURN_IF_ERROR(leg_.AddUsed({.kv_blocks = blocks}));
    ledger_->AddUsed(memory::Component::kKvPool, blocks * block_bytes_);
    blocks_used_ += blocks;
    return absl::OkStatus();
  }

  // The blocks themselves are back in the pool by now.
  void Release() {
    if (ledger_ == nullptr) return;
    ledger_->AddUsed(memory::Component::kKvPool, -blocks_used_ * block_bytes_);
    ledger_->AddReserved(memory::Component::kKvPool, -blocks_reserved() * block_bytes_);
    ledger_ = nullptr;
    leg_.Settle();
  }

 private:
  admission::ActiveLeg leg_;
  memory::Ledger* ledger_ = nullptr;
  int64_t block_bytes_ = 0;
  int64_t blocks_used_ = 0;
};

}  // namespace headroom::llm_worker
