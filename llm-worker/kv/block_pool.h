// BlockPool: which KV blocks are in use and by how many. It knows block numbers and reference counts only: no bytes, no
// requests, no tokens.
//
// A block comes out of Take() with one reference; it is free again when the last reference is dropped. Dropping a
// reference that nobody holds, or naming a block outside the pool, is a programmer error and aborts. Not thread-safe:
// the engine thread owns it.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace headroom::llm_worker {

class BlockPool {
 public:
  // blocks ≥ 0; numbers are 0 … blocks − 1. All memory of the pool's own bookkeeping is allocated here.
  explicit BlockPool(int32_t blocks);
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  // A free block with one reference, or nothing when the pool is empty.
  std::optional<int32_t> Take();

  // One more reference to a block that is in use.
  void Share(int32_t block);

  // Drops one reference.
  void Drop(int32_t block);

  int32_t References(int32_t block) const;
  int32_t blocks() const { return static_cast<int32_t>(references_.size()); }
  int32_t free_blocks() const { return static_cast<int32_t>(free_.size()); }
  int32_t used_blocks() const { return blocks() - free_blocks(); }

 private:
  std::vector<int32_t> references_;
  std::vector<int32_t> free_;  // a stack: the block freed last is warm in the cache and goes out first
};

}  // namespace headroom::llm_worker
