// BlockTable: the KV blocks of one sequence, in the order of its tokens. Token position p lies in block p / block_size
// at offset p % block_size.
//
// The table holds one reference to each of its blocks and gives them back when it is released or destroyed. It must not
// outlive its pool. Not thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "llm-worker/kv/block_pool.h"

namespace headroom::llm_worker {

// Blocks that `tokens` tokens need, tokens ≥ 0.
int64_t BlocksFor(int64_t tokens, int64_t block_size);

class BlockTable {
 public:
  BlockTable(BlockPool* pool, int64_t block_size);
  ~BlockTable();
  BlockTable(BlockTable&& other) noexcept;
  BlockTable& operator=(BlockTable&& other) noexcept;
  BlockTable(const BlockTable&) = delete;
  BlockTable& operator=(const BlockTable&) = delete;

  // Makes room for `tokens` tokens in all. False, and nothing is taken, when the pool has too few free blocks. Room
  // that is there already stays.
  [[nodiscard]] bool Reserve(int64_t tokens);

  // Becomes a table whose first blocks are those of `other` that are full after `tokens` tokens. Only whole blocks can
  // be shared, because nobody writes to those any more. This table must be empty and of the same pool and block size.
  // Returns the tokens that are shared.
  int64_t ShareFullBlocks(const BlockTable& other, int64_t tokens);

  // Where the keys and values of a position go: block · block_size + offset. The position must be within the room.
  int64_t Slot(int64_t position) const;

  // Gives every block back.
  void Release();

  std::span<const int32_t> blocks() const { return blocks_; }
  int64_t block_size() const { return block_size_; }
  int64_t capacity_tokens() const { return static_cast<int64_t>(blocks_.size()) * block_size_; }

 private:
  BlockPool* pool_;
  int64_t block_size_;
  std::vector<int32_t> blocks_;
};

}  // namespace headroom::llm_worker
