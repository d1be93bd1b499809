#include "llm-worker/kv/block_table.h"

#include <map>
#include <random>
#include <set>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace headroom::llm_worker {
namespace {

using ::testing::ElementsAre;

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

TEST(BlockTableTest, GrowsByWholeBlocksAndAllOrNothing) {
  BlockPool pool(4);
  BlockTable table(&pool, 16);
  EXPECT_TRUE(table.Reserve(0));
  EXPECT_EQ(pool.used_blocks(), 0);
  EXPECT_TRUE(table.Reserve(17));
  EXPECT_EQ(pool.used_blocks(), 2);
  EXPECT_TRUE(table.Reserve(32));
  EXPECT_EQ(pool.used_blocks(), 2);
  EXPECT_FALSE(table.Reserve(65));
  EXPECT_EQ(pool.used_blocks(), 2);
  EXPECT_TRUE(table.Reserve(64));
  EXPECT_EQ(pool.free_blocks(), 0);
}

TEST(BlockTableTest, SlotsFollowTheBlocks) {
  BlockPool pool(8);
  BlockTable first(&pool, 4), second(&pool, 4);
  ASSERT_TRUE(first.Reserve(4));
  ASSERT_TRUE(second.Reserve(4));
  ASSERT_TRUE(first.Reserve(8));
  for (int64_t p = 0; p < 8; ++p) EXPECT_EQ(first.Slot(p), first.blocks()[p / 4] * 4 + p % 4);
}

TEST(BlockTableTest, MovingHandsTheBlocksOver) {
  BlockPool pool(4);
  {
    BlockTable a(&pool, 2);
    ASSERT_TRUE(a.Reserve(4));
    BlockTable b(std::move(a));
    EXPECT_EQ(b.capacity_tokens(), 4);
    BlockTable c(&pool, 2);
    ASSERT_TRUE(c.Reserve(2));
    c = std::move(b);
    EXPECT_EQ(pool.used_blocks(), 2);
  }
  EXPECT_EQ(pool.used_blocks(), 0);
}

TEST(BlockTableTest, SharesWholeBlocksOnly) {
  BlockPool pool(8);
  BlockTable a(&pool, 4);
  ASSERT_TRUE(a.Reserve(12));
  BlockTable b(&pool, 4);
  EXPECT_EQ(b.ShareFullBlocks(a, 11), 8);
  EXPECT_EQ(pool.used_blocks(), 3);
  a.Release();
  EXPECT_EQ(pool.used_blocks(), 2);
  ASSERT_TRUE(b.Reserve(12));
  b.Release();
  EXPECT_EQ(pool.used_blocks(), 0);
}

TEST(BlockTableDeathTest, ProgrammerErrorsAbort) {
  BlockPool pool(2);
  BlockTable table(&pool, 4);
  ASSERT_TRUE(table.Reserve(4));
  EXPECT_DEATH(table.Slot(4), "4 of 4");
  EXPECT_DEATH(table.Slot(-1), "-1 of 4");
  BlockTable other(&pool, 4);
  EXPECT_DEATH(other.ShareFullBlocks(table, 5), "5 of 4");
}

// Random traces against a model that counts references by hand.
TEST(BlockTableTest, RandomTracesNeverLeakOrShareWithoutReference) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  for (int trace = 0; trace < 40; ++trace) {
    const int32_t blocks = 1 + static_cast<int32_t>(random() % 60);
    const int64_t block_size = 1 + random() % 5;
    BlockPool pool(blocks);
    std::vector<BlockTable> tables;
    for (int i = 0; i < 6; ++i) tables.emplace_back(&pool, block_size);
    for (int step = 0; step < 300; ++step) {
      BlockTable& table = tables[random() % tables.size()];
      switch (random() % 4) {
        case 0:
        case 1: {
          const int64_t tokens = random() % (block_size * 20);
          const int64_t missing = BlocksFor(tokens, block_size) - static_cast<int64_t>(table.blocks().size());
          const int32_t free = pool.free_blocks();
          EXPECT_EQ(table.Reserve(tokens), missing <= free);
          EXPECT_EQ(pool.free_blocks(), missing > 0 && missing <= free ? free - missing : free);
          break;
        }
        case 2:
          table.Release();
          break;
        default: {
          const BlockTable& other = tables[random() % tables.size()];
          if (&other == &table) break;
          table.Release();
          const int64_t tokens = random() % (other.capacity_tokens() + 1);
          EXPECT_EQ(table.ShareFullBlocks(other, tokens), tokens / block_size * block_size);
        }
      }
      std::map<int32_t, int32_t> references;
      for (const BlockTable& t : tables) {
        for (const int32_t block : t.blocks()) ++references[block];
      }
      ASSERT_EQ(static_cast<size_t>(pool.used_blocks()), references.size());
      for (const auto& [block, count] : references) ASSERT_EQ(pool.References(block), count);
    }
    tables.clear();
    EXPECT_EQ(pool.used_blocks(), 0);
  }
}

}  // namespace
}  // namespace headroom::llm_worker
