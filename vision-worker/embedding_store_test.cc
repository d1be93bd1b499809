#include "vision-worker/embedding_store.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <thread>
#include <vector>

#include "memory/testing/fake_memory.h"

namespace headroom::vision_worker {
namespace {

constexpr int64_t kPieceBytes = 32;

class EmbeddingStoreTest : public testing::Test {
 protected:
  // Six pieces and a rest that is too small for one.
  memory::testing::FakeRegion region_{6 * kPieceBytes + 5};
  EmbeddingStore store_{region_.memory(), region_.span(), kPieceBytes, 100};

  EmbeddingPin Put(const std::string& key, int64_t pieces, double cost, char fill) {
    auto pin = store_.Allocate(key, pieces);
    EXPECT_TRUE(pin.ok()) << pin.status();
    for (int64_t i = 0; i < pieces; ++i) region_.Fill(pin->Piece(i), static_cast<char>(fill + i));
    pin->Publish(cost);
    return std::move(*pin);
  }
};

TEST_F(EmbeddingStoreTest, ReadsWhatWasWritten) {
  const EmbeddingPin pin = Put("a", 2, 1, 'x');
  std::string data;
  ASSERT_TRUE(store_.ReadPiece(pin.id(), 1, &data).ok());
  EXPECT_EQ(data, std::string(kPieceBytes, 'y'));
  EXPECT_EQ(store_.ReadPiece(pin.id(), 2, &data).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store_.ReadPiece(pin.id(), -1, &data).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store_.ReadPiece(99, 0, &data).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(*store_.Pieces(pin.id()), 2);
}

TEST_F(EmbeddingStoreTest, NothingIsReadableBeforePublish) {
  auto pin = store_.Allocate("a", 1);
  ASSERT_TRUE(pin.ok());
  std::string data;
  EXPECT_EQ(store_.ReadPiece(pin->id(), 0, &data).code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(store_.Find("a", 1).has_value());
  pin->Release();
  EXPECT_EQ(store_.Stats().used_pieces, 0) << "an abandoned entry leaves nothing";
}

TEST_F(EmbeddingStoreTest, PinnedEntriesAreNeverEvicted) {
  const EmbeddingPin a = Put("a", 4, 1, 'a');
  EXPECT_EQ(store_.Allocate("b", 3).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(store_.Allocate("b", 2).ok());
  EXPECT_EQ(store_.Stats().evictions, 0);
}

TEST_F(EmbeddingStoreTest, FullAndFullPlusOne) {
  EXPECT_EQ(store_.Stats().capacity_pieces, 6);
  EXPECT_EQ(store_.Allocate("a", 7).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(store_.Allocate("a", 0).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(store_.Allocate("a", 6).ok());
}

TEST_F(EmbeddingStoreTest, CheapestPerByteGoesFirst) {
  Put("cheap", 2, 0.5, 'a').Release();
  Put("dear", 2, 9.0, 'b').Release();
  Put("middle", 2, 2.0, 'c').Release();
  auto fresh = store_.Allocate("new", 1);
  ASSERT_TRUE(fresh.ok());
  EXPECT_FALSE(store_.Find("cheap", 2).has_value());
  EXPECT_TRUE(store_.Find("dear", 2).has_value());
  EXPECT_TRUE(store_.Find("middle", 2).has_value());
}

TEST_F(EmbeddingStoreTest, AmongEqualsTheLeastRecentlyUsedGoes) {
  Put("a", 2, 1, 'a').Release();
  Put("b", 2, 1, 'b').Release();
  Put("c", 2, 1, 'c').Release();
  store_.Allocate("x", 1)->Release();  // evicts a, raises the inflation
  store_.Find("b", 2)->Release();      // b is younger than c now
  auto d = store_.Allocate("d", 4);
  ASSERT_TRUE(d.ok());
  EXPECT_FALSE(store_.Find("c", 2).has_value());
  EXPECT_TRUE(store_.Find("b", 2).has_value());
}

TEST_F(EmbeddingStoreTest, HitNeedsTheSameNumberOfPieces) {
  const EmbeddingPin a = Put("a", 2, 1, 'a');
  EXPECT_FALSE(store_.Find("a", 3).has_value());
  EXPECT_TRUE(store_.Find("a", 2).has_value());
}

TEST_F(EmbeddingStoreTest, SecondEntryOfAKeyIsPrivateAndLeavesWithItsPin) {
  EmbeddingPin first = Put("a", 1, 1, 'a');
  EmbeddingPin second = Put("a", 1, 1, 'b');
  std::string data;
  ASSERT_TRUE(store_.ReadPiece(second.id(), 0, &data).ok());
  const uint64_t second_id = second.id();
  second.Release();
  EXPECT_EQ(store_.ReadPiece(second_id, 0, &data).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store_.Find("a", 1)->id(), first.id());
}

struct Held {
  EmbeddingPin pin;
  std::string key;
  char fill;
};

// Random lives of entries against plain bookkeeping: pinned bytes keep their contents, and a room check is never wrong.
TEST(EmbeddingStoreTrace, PinnedContentsSurviveAnything) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    std::mt19937_64 random(seed);
    auto draw = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); };
    const int64_t slots = draw(3, 20);
    memory::testing::FakeRegion region(slots * kPieceBytes);
    EmbeddingStore store(region.memory(), region.span(), kPieceBytes, 1);
    int64_t used = 0;
    store.ListenToUsed([&used](int64_t bytes) { used += bytes; });
    std::vector<Held> held;
    std::map<std::string, char> contents;
    for (int step = 0; step < 2000; ++step) {
      const std::string key = absl::StrCat("key", draw(0, 12));
      const int64_t pieces = 1 + static_cast<int64_t>(key.back() - '0') % 3;
      if (draw(0, 2) > 0) {
        if (auto hit = store.Find(key, pieces)) {
          ASSERT_TRUE(contents.contains(key)) << seed;
          held.push_back({std::move(*hit), key, contents[key]});
        } else {
          const int64_t pinned = store.Stats().pinned_pieces;
          auto made = store.Allocate(key, pieces);
          ASSERT_EQ(made.ok(), pinned + pieces <= slots) << seed << ": " << made.status();
          if (made.ok()) {
            const char fill = static_cast<char>(draw(0, 127));
            for (int64_t i = 0; i < pieces; ++i) region.Fill(made->Piece(i), fill);
            if (draw(0, 9) > 0) {
              made->Publish(draw(0, 100) / 10.0);
              contents[key] = fill;
              held.push_back({std::move(*made), key, fill});
            }
          }
        }
      } else if (!held.empty()) {
        std::swap(held[static_cast<size_t>(draw(0, static_cast<int>(held.size()) - 1))], held.back());
        held.pop_back();
      }
      if (step % 10 == 0) {
        for (const Held& h : held) {
          std::string data;
          ASSERT_TRUE(store.ReadPiece(h.pin.id(), h.pin.pieces() - 1, &data).ok()) << seed;
          ASSERT_EQ(data, std::string(kPieceBytes, h.fill)) << seed;
        }
      }
      const EmbeddingStoreStats stats = store.Stats();
      ASSERT_EQ(used, stats.used_pieces * kPieceBytes) << seed;
      ASSERT_LE(stats.pinned_pieces, stats.used_pieces) << seed;
      ASSERT_LE(stats.used_pieces, slots) << seed;
    }
    held.clear();
    ASSERT_EQ(store.Stats().pinned_pieces, 0) << seed;
  }
}

TEST(EmbeddingStoreThreads, ReadersAndWritersTogether) {
  memory::testing::FakeRegion region(8 * kPieceBytes);
  EmbeddingStore store(region.memory(), region.span(), kPieceBytes, 1);
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&store, &region, t] {
      for (int round = 0; round < 300; ++round) {
        const std::string key = absl::StrCat((round + t) % 5);
        auto pin = store.Find(key, 2);
        if (!pin) {
          auto made = store.Allocate(key, 2);
          if (!made.ok()) continue;
          for (int i = 0; i < 2; ++i) region.Fill(made->Piece(i), key[0]);
          made->Publish(1);
          pin = std::move(*made);
        }
        std::string data;
        ASSERT_TRUE(store.ReadPiece(pin->id(), 1, &data).ok());
        ASSERT_EQ(data, std::string(kPieceBytes, key[0]));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(store.Stats().pinned_pieces, 0);
}

}  // namespace
}  // namespace headroom::vision_worker
