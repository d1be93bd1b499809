#include "llm-worker/kv/kv_pool.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "common/check.h"

namespace headroom::llm_worker {

using memory::Component;

int64_t BlocksFor(int64_t tokens, int64_t block_size) {
  HEADROOM_CHECK(tokens >= 0 && block_size >= 1) << tokens << " tokens in blocks of " << block_size;
  return tokens / block_size + (tokens % block_size != 0 ? 1 : 0);
}

KvBlocks::KvBlocks(KvBlocks&& other) noexcept { *this = std::move(other); }

KvBlocks& KvBlocks::operator=(KvBlocks&& other) noexcept {
  if (this == &other) return *this;
  Release();
  pool_ = std::exchange(other.pool_, nullptr);
  leg_ = std::move(other.leg_);
  common_ = other.common_;
  own_ = other.own_;
  blocks_ = std::exchange(other.blocks_, {});
  return *this;
}

int64_t KvBlocks::capacity_tokens() const {
  return pool_ == nullptr ? 0 : static_cast<int64_t>(blocks_.size()) * pool_->block_size();
}

bool KvBlocks::IsShared(int64_t position) const {
  return position < capacity_tokens() &&
         pool_->References(blocks_[static_cast<size_t>(position / pool_->block_size())]) > 1;
}

std::vector<KvBlocks> KvBlocks::Divide(int64_t count, int64_t shared_tokens) {
  HEADROOM_CHECK(pool_ != nullptr && blocks_.empty() && common_ == 0 && count >= 1 && shared_tokens >= 0) << count;
  const int64_t whole = own_;
  common_ = std::min(whole, shared_tokens / pool_->block_size());
  own_ = (whole - common_) / count;
  std::vector<KvBlocks> others;
  others.reserve(static_cast<size_t>(count - 1));
  for (int64_t i = 1; i < count; ++i) others.push_back(KvBlocks(pool_, leg_, common_, own_));
  return others;
}

absl::Status KvBlocks::Use(int64_t more) {
  if (static_cast<int64_t>(blocks_.size()) + more > reserved()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a sequence wants ", more, " KV blocks more than ", blocks_.size(), ", it has ", reserved()));
  }
  return leg_->AddUsed({.kv_blocks = more});
}

absl::Status KvBlocks::MakeWritable(int64_t begin, int64_t end, std::vector<BlockCopy>& copies) {
  HEADROOM_CHECK(pool_ != nullptr && begin >= 0 && begin <= end) << begin << " to " << end;
  const auto held = static_cast<int64_t>(blocks_.size());
  const int64_t size = pool_->block_size();
  const int64_t more = std::max<int64_t>(0, BlocksFor(end, size) - held);
  const int64_t first = begin / size, last = std::min(held, BlocksFor(end, size));
  int64_t shared = 0;
  for (int64_t i = first; i < last; ++i) shared += pool_->References(blocks_[static_cast<size_t>(i)]) > 1 ? 1 : 0;
  if (more > 0) HEADROOM_RETURN_IF_ERROR(Use(more));
  if (more + shared > pool_->free_blocks()) {
    if (more > 0) HEADROOM_RETURN_IF_ERROR(leg_->AddUsed({.kv_blocks = -more}));
    return absl::InternalError(absl::StrCat("no free KV block for ", more + shared, " that were granted"));
  }
  for (int64_t i = first; i < last; ++i) {
    int32_t& block = blocks_[static_cast<size_t>(i)];
    if (pool_->References(block) == 1) continue;
    const int32_t own = pool_->Take();
    copies.push_back({.from = block, .to = own});
    pool_->Drop(block);
    block = own;
  }
  for (int64_t i = 0; i < more; ++i) blocks_.push_back(pool_->Take());
  return absl::OkStatus();
}

absl::Status KvBlocks::Share(const KvBlocks& other, int64_t tokens) {
  HEADROOM_CHECK(pool_ != nullptr && pool_ == other.pool_) << "sequences of different pools";
  HEADROOM_CHECK(blocks_.empty()) << "the sequence has " << blocks_.size() << " blocks already";
  HEADROOM_CHECK(tokens >= 0 && tokens <= other.capacity_tokens()) << tokens << " of " << other.capacity_tokens();
  const int64_t count = BlocksFor(tokens, pool_->block_size());
  HEADROOM_RETURN_IF_ERROR(Use(leg_ == other.leg_ ? Own(static_cast<size_t>(count)) : count));
  for (const int32_t block : other.blocks().first(static_cast<size_t>(count))) {
    pool_->pool_.Share(block);
    blocks_.push_back(block);
  }
  return absl::OkStatus();
}

void KvBlocks::Release() {
  KvPool* const pool = std::exchange(pool_, nullptr);
  if (pool == nullptr) return;
  // Last block first, so that the next sequence gets them in the order of this one.
  for (auto block = blocks_.rbegin(); block != blocks_.rend(); ++block) pool->Drop(*block);
  const int64_t used = Own(blocks_.size());
  blocks_.clear();
  const std::shared_ptr<admission::ActiveLeg> leg = std::move(leg_);
  if (leg.use_count() > 1) {
    const admission::Resources part = {.slots = std::min<int64_t>(1, leg->resources().slots - 1), .kv_blocks = own_};
    pool->AddReserved(-own_);
    HEADROOM_CHECK(leg->AddUsed({.kv_blocks = -used}).ok());
    leg->GiveBack(part);
  } else {
    pool->AddReserved(-leg->resources().kv_blocks);
    leg->Settle();
  }
}

KvPool::KvPool(const Shape& shape, memory::Ledger& ledger)
    : shape_(shape), ledger_(ledger), pool_(static_cast<int32_t>(shape.blocks)) {
  HEADROOM_CHECK(shape.blocks <= std::numeric_limits<int32_t>::max() && shape.block_size >= 1 && shape.block_bytes >= 1)
      << shape.blocks << " blocks of " << shape.block_size << " tokens, " << shape.block_bytes << " bytes";
}

KvBlocks KvPool::Reserve(admission::ActiveLeg leg) {
  const int64_t blocks = leg.resources().kv_blocks;
  AddReserved(blocks);
  return KvBlocks(this, std::make_shared<admission::ActiveLeg>(std::move(leg)), 0, blocks);
}

void KvPool::AddReserved(int64_t blocks) { ledger_.AddReserved(Component::kKvPool, blocks * shape_.block_bytes); }

// The caller has seen that one is free.
int32_t KvPool::Take() {
  const std::optional<int32_t> block = pool_.Take();
  HEADROOM_CHECK(block.has_value()) << "no free block of " << pool_.blocks();
  ledger_.AddUsed(Component::kKvPool, shape_.block_bytes);
  return *block;
}

void KvPool::Drop(int32_t block) {
  pool_.Drop(block);
  if (pool_.References(block) == 0) ledger_.AddUsed(Component::kKvPool, -shape_.block_bytes);
}

}  // namespace headroom::llm_worker
