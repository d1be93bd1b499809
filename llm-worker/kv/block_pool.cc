#include "llm-worker/kv/block_pool.h"

#include <limits>

#include "common/check.h"

namespace headroom::llm_worker {

BlockPool::BlockPool(int32_t blocks) {
  HEADROOM_CHECK(blocks >= 0) << "blocks " << blocks;
  references_.assign(static_cast<size_t>(blocks), 0);
  free_.reserve(static_cast<size_t>(blocks));
  for (int32_t block = blocks - 1; block >= 0; --block) free_.push_back(block);
}

std::optional<int32_t> BlockPool::Take() {
  if (free_.empty()) return std::nullopt;
  const int32_t block = free_.back();
  free_.pop_back();
  HEADROOM_CHECK(references_[block] == 0) << "free block " << block << " has references";
  references_[block] = 1;
  return block;
}

void BlockPool::Share(int32_t block) {
  HEADROOM_CHECK(References(block) > 0) << "block " << block << " is free";
  HEADROOM_CHECK(references_[block] < std::numeric_limits<int32_t>::max()) << "block " << block;
  ++references_[block];
}

void BlockPool::Drop(int32_t block) {
  HEADROOM_CHECK(References(block) > 0) << "block " << block << " freed twice";
  if (--references_[block] == 0) free_.push_back(block);
}

int32_t BlockPool::References(int32_t block) const {
  HEADROOM_CHECK(block >= 0 && block < blocks()) << "block " << block << " of " << blocks();
  return references_[block];
}

}  // namespace headroom::llm_worker
