#include "llm-worker/kv/block_table.h"

#include <utility>

#include "common/check.h"

namespace headroom::llm_worker {

int64_t BlocksFor(int64_t tokens, int64_t block_size) {
  HEADROOM_CHECK(tokens >= 0 && block_size >= 1) << tokens << " tokens in blocks of " << block_size;
  return tokens / block_size + (tokens % block_size != 0 ? 1 : 0);
}

BlockTable::BlockTable(BlockPool* pool, int64_t block_size) : pool_(pool), block_size_(block_size) {
  HEADROOM_CHECK(pool != nullptr && block_size >= 1) << "block size " << block_size;
}

BlockTable::~BlockTable() { Release(); }

BlockTable::BlockTable(BlockTable&& other) noexcept
    : pool_(other.pool_), block_size_(other.block_size_), blocks_(std::exchange(other.blocks_, {})) {}

BlockTable& BlockTable::operator=(BlockTable&& other) noexcept {
  if (this == &other) return *this;
  Release();
  pool_ = other.pool_;
  block_size_ = other.block_size_;
  blocks_ = std::exchange(other.blocks_, {});
  return *this;
}

bool BlockTable::Reserve(int64_t tokens) {
  const int64_t missing = BlocksFor(tokens, block_size_) - static_cast<int64_t>(blocks_.size());
  if (missing <= 0) return true;
  if (missing > pool_->free_blocks()) return false;
  for (int64_t i = 0; i < missing; ++i) blocks_.push_back(*pool_->Take());
  return true;
}

int64_t BlockTable::ShareFullBlocks(const BlockTable& other, int64_t tokens) {
  HEADROOM_CHECK(blocks_.empty()) << "table already has " << blocks_.size() << " blocks";
  HEADROOM_CHECK(pool_ == other.pool_ && block_size_ == other.block_size_) << "tables of different pools";
  HEADROOM_CHECK(tokens >= 0 && tokens <= other.capacity_tokens()) << tokens << " of " << other.capacity_tokens();
  const int64_t full = tokens / block_size_;
  for (int64_t i = 0; i < full; ++i) {
    pool_->Share(other.blocks_[i]);
    blocks_.push_back(other.blocks_[i]);
  }
  return full * block_size_;
}

int64_t BlockTable::Slot(int64_t position) const {
  HEADROOM_CHECK(position >= 0 && position < capacity_tokens()) << position << " of " << capacity_tokens();
  return blocks_[position / block_size_] * block_size_ + position % block_size_;
}

void BlockTable::Release() {
  // Last block first, so that the next sequence gets them in the order of this one.
  for (auto block = blocks_.rbegin(); block != blocks_.rend(); ++block) pool_->Drop(*block);
  blocks_.clear();
}

}  // namespace headroom::llm_worker
