#include "llm-worker/kv/kv_pool.h"

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "llm-worker/testing/gated_pool.h"

namespace headroom::llm_worker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(BlockPoolTest, GivesEveryBlockOnceAndThenNothing) {
  BlockPool pool(3);
  std::set<int32_t> taken;
  for (int i = 0; i < 3; ++i) taken.insert(pool.Take().value());
  EXPECT_THAT(taken, ElementsAre(0, 1, 2));
  EXPECT_FALSE(pool.Take().has_value());
  EXPECT_EQ(pool.used_blocks(), 3);
}

TEST(BlockPoolTest, BlockIsFreeAfterItsLastReference) {
  BlockPool pool(1);
  const int32_t block = pool.Take().value();
  pool.Share(block);
  pool.Drop(block);
  EXPECT_EQ(pool.free_blocks(), 0);
  EXPECT_EQ(pool.References(block), 1);
  pool.Drop(block);
  EXPECT_EQ(pool.free_blocks(), 1);
  EXPECT_EQ(pool.Take(), block);
}

TEST(BlockPoolTest, AnEmptyPoolIsAllowed) {
  BlockPool pool(0);
  EXPECT_FALSE(pool.Take().has_value());
}

TEST(BlockPoolDeathTest, ProgrammerErrorsAbort) {
  BlockPool pool(2);
  const int32_t block = pool.Take().value();
  pool.Drop(block);
  EXPECT_DEATH(pool.Drop(block), "freed twice");
  EXPECT_DEATH(pool.Share(block), "is free");
  EXPECT_DEATH(pool.Drop(2), "block 2 of 2");
  EXPECT_DEATH(pool.References(-1), "block -1 of 2");
}

constexpr int64_t kBlockBytes = 192;

class KvPoolTest : public testing::Test {
 protected:
  void Make(int64_t blocks, int64_t block_size) {
    gated_ = std::make_unique<GatedPool>(
        KvPool::Shape{.blocks = blocks, .block_size = block_size, .block_bytes = kBlockBytes});
    gate_ = &gated_->gate();
    pool_ = &gated_->pool();
  }
  KvBlocks Reserve(int64_t blocks) { return gated_->Reserve(blocks); }

  // Copies that it cost; −1 for an error.
  static int64_t Grow(KvBlocks& blocks, int64_t begin, int64_t end) {
    std::vector<BlockCopy> copies;
    return blocks.MakeWritable(begin, end, copies).ok() ? static_cast<int64_t>(copies.size()) : -1;
  }

  int64_t used() const { return Line().used / kBlockBytes; }
  int64_t reserved() const { return Line().reserved / kBlockBytes; }

  std::unique_ptr<GatedPool> gated_;
  admission::WorkerGate* gate_ = nullptr;
  KvPool* pool_ = nullptr;

 private:
  memory::LedgerLine Line() const { return gated_->ledger().Snapshot()[memory::Component::kKvPool]; }
};

TEST_F(KvPoolTest, GrowsByWholeBlocksInsideItsLegAllOrNothing) {
  Make(8, 16);
  KvBlocks blocks = Reserve(4);
  EXPECT_EQ(reserved(), 4);
  EXPECT_EQ(Grow(blocks, 0, 0), 0);
  EXPECT_EQ(used(), 0);
  EXPECT_EQ(Grow(blocks, 0, 17), 0);
  EXPECT_EQ(used(), 2);
  EXPECT_EQ(Grow(blocks, 17, 32), 0);
  EXPECT_EQ(used(), 2);
  std::vector<BlockCopy> copies;
  EXPECT_EQ(blocks.MakeWritable(32, 65, copies).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(used(), 2);
  EXPECT_EQ(gate_->Snapshot().used.kv_blocks, 2);
  EXPECT_EQ(Grow(blocks, 32, 64), 0);
  EXPECT_EQ(pool_->free_blocks(), 4);
  EXPECT_EQ(used(), 4);
  blocks.Release();
  EXPECT_EQ(used(), 0);
  EXPECT_EQ(reserved(), 0);
  EXPECT_TRUE(gate_->Snapshot().active.empty());
}

TEST_F(KvPoolTest, BlocksKeepTheirOrderAsSequencesGrow) {
  Make(8, 4);
  KvBlocks first = Reserve(2), second = Reserve(1);
  ASSERT_EQ(Grow(first, 0, 4), 0);
  ASSERT_EQ(Grow(second, 0, 4), 0);
  const int32_t begin = first.blocks()[0];
  ASSERT_EQ(Grow(first, 4, 8), 0);
  ASSERT_EQ(first.blocks().size(), 2u);
  EXPECT_EQ(first.blocks()[0], begin);
  EXPECT_NE(first.blocks()[1], begin);
  EXPECT_NE(first.blocks()[1], second.blocks()[0]);
}

TEST_F(KvPoolTest, MovingHandsBlocksAndLegOver) {
  Make(4, 2);
  {
    KvBlocks a = Reserve(2);
    ASSERT_EQ(Grow(a, 0, 4), 0);
    KvBlocks b(std::move(a));
    EXPECT_EQ(b.capacity_tokens(), 4);
    KvBlocks c = Reserve(1);
    ASSERT_EQ(Grow(c, 0, 2), 0);
    c = std::move(b);
    EXPECT_EQ(used(), 2);
    EXPECT_EQ(reserved(), 2);
  }
  EXPECT_EQ(used(), 0);
  EXPECT_EQ(reserved(), 0);
}

TEST_F(KvPoolTest, ASharedBlockIsUsedOnceAndReservedForEach) {
  Make(8, 4);
  KvBlocks a = Reserve(3), b = Reserve(3);
  ASSERT_EQ(Grow(a, 0, 11), 0);
  ASSERT_TRUE(b.Share(a, 8).ok());
  EXPECT_EQ(used(), 3);
  EXPECT_EQ(reserved(), 6);
  EXPECT_EQ(gate_->Snapshot().used.kv_blocks, 5) << "each leg answers for all that it holds";
  a.Release();
  EXPECT_EQ(used(), 2);
  EXPECT_EQ(reserved(), 3);
  EXPECT_EQ(Grow(b, 8, 12), 0) << "the last holder of a block writes without a copy";
  b.Release();
  EXPECT_EQ(used(), 0);
}

TEST_F(KvPoolTest, WritingToASharedBlockCopiesItFirst) {
  Make(6, 4);
  KvBlocks a = Reserve(3), b = Reserve(3);
  ASSERT_EQ(Grow(a, 0, 6), 0);
  ASSERT_TRUE(b.Share(a, 6).ok());
  EXPECT_EQ(used(), 2);
  EXPECT_TRUE(a.IsShared(6) && b.IsShared(6));
  const int32_t shared = a.blocks()[1];
  std::vector<BlockCopy> copies;
  ASSERT_TRUE(b.MakeWritable(6, 7, copies).ok());
  ASSERT_EQ(copies.size(), 1u);
  EXPECT_EQ(copies[0].from, shared);
  EXPECT_EQ(copies[0].to, b.blocks()[1]);
  EXPECT_NE(b.blocks()[1], shared);
  EXPECT_EQ(a.blocks()[1], shared);
  EXPECT_EQ(a.blocks()[0], b.blocks()[0]) << "what nobody writes stays shared";
  EXPECT_EQ(used(), 3);
  EXPECT_FALSE(a.IsShared(6) || b.IsShared(6));
  EXPECT_EQ(Grow(a, 6, 9), 0);
}

TEST_F(KvPoolTest, CopiesFindABlockThoughEveryBlockIsPromised) {
  Make(6, 4);
  KvBlocks a = Reserve(2), b = Reserve(2), c = Reserve(2);
  ASSERT_EQ(Grow(a, 0, 8), 0);
  ASSERT_TRUE(b.Share(a, 8).ok());
  ASSERT_TRUE(c.Share(a, 7).ok());
  EXPECT_EQ(used(), 2);
  EXPECT_EQ(reserved(), 6);
  EXPECT_EQ(Grow(b, 0, 8), 2);
  EXPECT_EQ(Grow(c, 0, 8), 2);
  EXPECT_EQ(Grow(a, 0, 8), 0);
  EXPECT_EQ(pool_->free_blocks(), 0);
}

TEST_F(KvPoolTest, SharingStaysInsideTheLeg) {
  Make(6, 4);
  KvBlocks a = Reserve(3), b = Reserve(1);
  ASSERT_EQ(Grow(a, 0, 12), 0);
  EXPECT_EQ(b.Share(a, 5).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(b.blocks(), IsEmpty());
  EXPECT_EQ(pool_->References(a.blocks()[0]), 1);
}

using KvPoolDeathTest = KvPoolTest;

TEST_F(KvPoolDeathTest, ProgrammerErrorsAbort) {
  Make(4, 4);
  KvBlocks blocks = Reserve(2);
  ASSERT_EQ(Grow(blocks, 0, 4), 0);
  KvBlocks other = Reserve(2);
  EXPECT_DEATH(static_cast<void>(other.Share(blocks, 5)), "5 of 4");
  EXPECT_DEATH(static_cast<void>(blocks.Share(blocks, 1)), "has 1 blocks already");
}

// Random traces against a model that counts references by hand. As in a worker, the legs together promise no more than
// the pool has; so nothing that stays inside its leg may fail.
// 10 tokens of prompt, 12 in all, in blocks of 4: two whole blocks are common, one more for each of three.
TEST_F(KvPoolTest, ChoicesDivideALegAndGiveTheirPartsBack) {
  Make(5, 4);
  KvBlocks first = gated_->Reserve(2 + 3 * 1, 3);
  std::vector<KvBlocks> others = first.Divide(3, 10);
  ASSERT_EQ(others.size(), 2u);
  EXPECT_EQ(reserved(), 5);
  ASSERT_EQ(Grow(first, 0, 10), 0);
  EXPECT_EQ(used(), 3);
  for (KvBlocks& other : others) ASSERT_TRUE(other.Share(first, 10).ok());
  EXPECT_EQ(used(), 3);
  // Every block is promised, and each finds its own; the last writer has the one that was common.
  EXPECT_EQ(Grow(first, 10, 11), 1);
  EXPECT_EQ(Grow(others[0], 10, 11), 1);
  EXPECT_EQ(Grow(others[1], 10, 11), 0);
  EXPECT_EQ(used(), 5);
  EXPECT_EQ(gate_->Snapshot().used.kv_blocks, 5);
  std::vector<BlockCopy> copies;
  EXPECT_EQ(others[0].MakeWritable(11, 13, copies).code(), absl::StatusCode::kResourceExhausted);
  // Whoever ends, the first too, gives its part back; the common blocks stay until the last one.
  first.Release();
  EXPECT_EQ(used(), 4);
  EXPECT_EQ(reserved(), 4);
  EXPECT_EQ(gate_->Snapshot().reserved.kv_blocks, 4);
  EXPECT_EQ(gate_->Snapshot().reserved.slots, 2);
  others[1].Release();
  EXPECT_EQ(reserved(), 3);
  EXPECT_EQ(Grow(others[0], 11, 12), 0);
  others.clear();
  EXPECT_EQ(used(), 0);
  EXPECT_EQ(reserved(), 0);
  EXPECT_TRUE(gate_->Snapshot().active.empty());
}

TEST_F(KvPoolTest, RandomTracesNeverLeakOrWriteToWhatOthersHold) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  for (int trace = 0; trace < 40; ++trace) {
    const int64_t each = 1 + random() % 10, size = 1 + random() % 5;
    std::vector<KvBlocks> sequences;
    Make(6 * each, size);
    for (int i = 0; i < 6; ++i) sequences.push_back(Reserve(each));
    for (int step = 0; step < 300; ++step) {
      KvBlocks& blocks = sequences[random() % sequences.size()];
      switch (random() % 4) {
        case 0:
        case 1: {
          const int64_t end = random() % (size * (each + 2)), begin = random() % (end + 1);
          const std::vector<int32_t> before(blocks.blocks().begin(), blocks.blocks().end());
          std::vector<BlockCopy> copies;
          const absl::Status status = blocks.MakeWritable(begin, end, copies);
          ASSERT_EQ(status.ok(), BlocksFor(end, size) <= each) << status;
          if (!status.ok()) {
            ASSERT_TRUE(std::equal(before.begin(), before.end(), blocks.blocks().begin(), blocks.blocks().end()));
            break;
          }
          for (int64_t p = begin; p < end; ++p) ASSERT_FALSE(blocks.IsShared(p));
          for (size_t i = 0; i < before.size(); ++i) {
            const bool copied = std::any_of(copies.begin(), copies.end(), [&](const BlockCopy& copy) {
              return copy.from == before[i] && copy.to == blocks.blocks()[i];
            });
            ASSERT_EQ(before[i] != blocks.blocks()[i], copied);
          }
          break;
        }
        case 2:
          blocks = Reserve(0);
          blocks = Reserve(each);
          break;
        default: {
          const KvBlocks& other = sequences[random() % sequences.size()];
          if (&other == &blocks) break;
          blocks = Reserve(0);
          blocks = Reserve(each);
          ASSERT_TRUE(blocks.Share(other, random() % (other.capacity_tokens() + 1)).ok());
        }
      }
      std::map<int32_t, int32_t> references;
      for (const KvBlocks& s : sequences) {
        for (const int32_t block : s.blocks()) ++references[block];
      }
      ASSERT_EQ(static_cast<size_t>(pool_->used_blocks()), references.size());
      ASSERT_EQ(static_cast<size_t>(used()), references.size());
      ASSERT_EQ(reserved(), 6 * each);
      for (const auto& [block, count] : references) ASSERT_EQ(pool_->References(block), count);
    }
    sequences.clear();
    ASSERT_EQ(pool_->used_blocks(), 0);
    ASSERT_EQ(used(), 0);
    ASSERT_EQ(reserved(), 0);
  }
}

}  // namespace
}  // namespace headroom::llm_worker
