// KvPool: owner of the worker's KV blocks, by number; their bytes are the decoder's (llm-worker/decoder.h). It knows
// which are in use and by how many sequences, and keeps the KV line of the ledger: *reserved* is what the grants
// promise, each counted in full; *used* is what holds data, a block that several sequences share counted once.
//
// KvBlocks: what one sequence holds of it, a leg and blocks in the order of its tokens: position p lies in the
// (p / block_size)-th at offset p % block_size. A block that others hold as well is read only: MakeWritable() replaces
// it by a copy before the first write (copy on write), and such copies always find a block, because the leg of each
// sequence reserved all of its blocks, shared or not.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "admission/worker_gate.h"
#include "common/status.h"
#include "llm-worker/kv/block_pool.h"
#include "memory/ledger.h"
#include "runtime/ops/paged_attention.h"

namespace headroom::llm_worker {

using runtime::BlockCopy;

// Blocks that `tokens` tokens need, tokens ≥ 0.
int64_t BlocksFor(int64_t tokens, int64_t block_size);

class KvPool;

// Movable. Used by one thread at a time: the engine's as soon as it holds blocks. Must not outlive its pool.
class KvBlocks {
 public:
  KvBlocks() = default;
  KvBlocks(KvBlocks&& other) noexcept;
  KvBlocks& operator=(KvBlocks&& other) noexcept;
  KvBlocks(const KvBlocks&) = delete;
  KvBlocks& operator=(const KvBlocks&) = delete;
  ~KvBlocks() { Release(); }

  // Makes room for the first `end` positions, and positions [begin, end) this sequence's own: shared blocks among them
  // are replaced, and what the device has to copy for it is added to `copies`. Room that is there already stays.
  // RESOURCE_EXHAUSTED above what the leg reserved; INTERNAL when the pool has too few free blocks, which the gate
  // rules out. Nothing has changed then.
  absl::Status MakeWritable(int64_t begin, int64_t end, std::vector<BlockCopy>& copies);

  // Divides the leg among so many sequences, of which this is the first, before it holds any block: the first
  // `shared_tokens` tokens are the same in all of them. The others; count ≥ 1.
  std::vector<KvBlocks> Divide(int64_t count, int64_t shared_tokens);

  // Holds the blocks of the first `tokens` tokens of `other` too; the last of them need not be full. This must hold
  // none yet and be of the same pool. RESOURCE_EXHAUSTED above what its own leg reserved.
  absl::Status Share(const KvBlocks& other, int64_t tokens);

  // Whether writing at `position` costs a block because it lies in one that others hold too.
  bool IsShared(int64_t position) const;

  std::span<const int32_t> blocks() const { return blocks_; }
  // Blocks that it may hold.
  int64_t reserved() const { return common_ + own_; }
  int64_t capacity_tokens() const;

  // Gives blocks and leg back. Idempotent.
  void Release();

 private:
  friend class KvPool;
  KvBlocks(KvPool* pool, std::shared_ptr<admission::ActiveLeg> leg, int64_t common, int64_t own)
      : pool_(pool), leg_(std::move(leg)), common_(common), own_(own) {}
  // Counts so many blocks for the leg. RESOURCE_EXHAUSTED above what it may hold.
  absl::Status Use(int64_t more);
  // Of blocks that count for this sequence alone, when it holds so many.
  int64_t Own(size_t blocks) const { return std::max<int64_t>(0, static_cast<int64_t>(blocks) - common_); }

  KvPool* pool_ = nullptr;
  std::shared_ptr<admission::ActiveLeg> leg_;  // of all sequences that divide it
  int64_t common_ = 0;                         // first blocks that count once for all of them
  int64_t own_ = 0;                            // further blocks that it may hold
  std::vector<int32_t> blocks_;
};

class KvPool {
 public:
  struct Shape {
    int64_t blocks = 0;      // 0 … 2^31 − 1
    int64_t block_size = 0;  // tokens
    int64_t block_bytes = 0;
  };
  // The KV line of `ledger` is planned for so many blocks; it must outlive the pool.
  KvPool(const Shape& shape, memory::Ledger& ledger);
  KvPool(const KvPool&) = delete;
  KvPool& operator=(const KvPool&) = delete;

  // What the leg was promised, without a block yet. All legs of a gate together stay within its capacity, and the KV
  // line is planned for that, so it cannot fail. Any thread.
  KvBlocks Reserve(admission::ActiveLeg leg);

  int64_t blocks() const { return pool_.blocks(); }
  int64_t block_size() const { return shape_.block_size; }
  // The engine's thread, as everything that moves blocks.
  int64_t free_blocks() const { return pool_.free_blocks(); }
  int64_t used_blocks() const { return pool_.used_blocks(); }
  int32_t References(int32_t block) const { return pool_.References(block); }

 private:
  friend class KvBlocks;
  int32_t Take();
  void Drop(int32_t block);
  void AddReserved(int64_t blocks);

  const Shape shape_;
  memory::Ledger& ledger_;
  BlockPool pool_;
};

}  // namespace headroom::llm_worker
