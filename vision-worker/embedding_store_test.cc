#include "vision-worker/embedding_store.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <random>
#include <thread>
#include <vector>

#include "common/embedding_pages.h"
#include "memory/testing/fake_memory.h"

namespace headroom::vision_worker {
namespace {

constexpr int64_t kRowBytes = 3;
constexpr int64_t kPageBytes = kEmbeddingPageRows * kRowBytes;
// Pieces of so many whole pages.
std::vector<int64_t> Pages(const std::vector<int64_t>& pages) {
  std::vector<int64_t> rows;
  for (const int64_t of_piece : pages) rows.push_back(of_piece * kEmbeddingPageRows);
  return rows;
}
std::vector<int64_t> OnePage(size_t pieces) { return Pages(std::vector<int64_t>(pieces, 1)); }

class EmbeddingStoreTest : public testing::Test {
 protected:
  // Six pages and a rest that is too small for one.
  memory::testing::FakeRegion region_{6 * kPageBytes + 5};
  EmbeddingStore store_{region_.memory(), region_.span(), kRowBytes, 100};

  EmbeddingPin Put(const std::string& key, const std::vector<int64_t>& rows, double cost, char fill) {
    auto pin = store_.Allocate(key, rows);
    EXPECT_TRUE(pin.ok()) << pin.status();
    for (int64_t i = 0; i < pin->pieces(); ++i) {
      for (const memory::DeviceSpan& run : pin->Piece(i)) region_.Fill(run, static_cast<char>(fill + i));
    }
    pin->Publish(cost);
    return std::move(*pin);
  }
};

TEST_F(EmbeddingStoreTest, ReadsWhatWasWritten) {
  const EmbeddingPin pin = Put("a", {1, 33, 32}, 1, 'x');
  std::string data;
  ASSERT_TRUE(store_.Read(pin.id(), 1, {.first = 0, .count = 33}, &data).ok());
  EXPECT_EQ(data, std::string(33 * kRowBytes, 'y')) << "33 rows, not two pages";
  ASSERT_TRUE(store_.Read(pin.id(), 1, {.first = 31, .count = 2}, &data).ok());
  EXPECT_EQ(data, std::string(2 * kRowBytes, 'y'));
  ASSERT_TRUE(store_.Read(pin.id(), 0, {.first = 0, .count = 1}, &data).ok());
  EXPECT_EQ(data, std::string(kRowBytes, 'x'));
  const struct {
    int64_t piece;
    RowRange range;
  } bad[] = {{3, {0, 1}}, {-1, {0, 1}}, {1, {0, 34}}, {1, {33, 1}}, {1, {-1, 1}}, {1, {0, 0}}, {1, {1, INT64_MAX}}};
  for (const auto& [piece, range] : bad) {
    EXPECT_EQ(store_.Read(pin.id(), piece, range, &data).code(), absl::StatusCode::kInvalidArgument)
        << piece << ": " << range.first << ", " << range.count;
  }
  EXPECT_EQ(store_.Read(99, 0, {0, 1}, &data).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(*store_.Rows(pin.id()), (std::vector<int64_t>{1, 33, 32}));
  EXPECT_EQ(store_.Rows(99).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store_.Stats().used_pages, 4);
}

TEST_F(EmbeddingStoreTest, PagesSideBySideAreOneRun) {
  const auto pin = store_.Allocate("", std::vector<int64_t>{70, 32, 1});
  ASSERT_TRUE(pin.ok());
  const std::vector<memory::DeviceSpan> piece = pin->Piece(0);
  ASSERT_EQ(piece.size(), 1u) << "three pages of an empty store";
  EXPECT_EQ(piece[0].bytes, 70 * kRowBytes) << "the rows, not the pages";
}

TEST_F(EmbeddingStoreTest, APieceLiesWhereverPagesAreFree) {
  std::vector<EmbeddingPin> pins;
  for (const char* key : {"a", "b", "c", "d", "e", "f"}) pins.push_back(Put(key, {32}, 1, *key));
  // Every second page becomes free: no two of them touch.
  for (const size_t gone : {0u, 2u, 4u}) pins[gone].Release();
  const EmbeddingPin spread = Put("spread", {65}, 1, 'S');
  EXPECT_EQ(store_.Stats().evictions, 3);
  std::string data;
  ASSERT_TRUE(store_.Read(spread.id(), 0, {0, 65}, &data).ok());
  EXPECT_EQ(data, std::string(65 * kRowBytes, 'S'));
  for (const size_t left : {1u, 3u, 5u}) {
    ASSERT_TRUE(store_.Read(pins[left].id(), 0, {0, 32}, &data).ok());
    EXPECT_EQ(data, std::string(kPageBytes, "abcdef"[left]));
  }
}

TEST_F(EmbeddingStoreTest, NothingIsReadableBeforePublish) {
  auto pin = store_.Allocate("a", OnePage(1));
  ASSERT_TRUE(pin.ok());
  std::string data;
  EXPECT_EQ(store_.Read(pin->id(), 0, {0, 1}, &data).code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(store_.Find("a", OnePage(1)).has_value());
  pin->Release();
  EXPECT_EQ(store_.Stats().used_pages, 0) << "an abandoned entry leaves nothing";
}

TEST_F(EmbeddingStoreTest, PinnedEntriesAreNeverEvicted) {
  const EmbeddingPin a = Put("a", Pages({3, 1}), 1, 'a');
  EXPECT_EQ(store_.Allocate("b", Pages({3})).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(store_.Allocate("b", Pages({2})).ok());
  EXPECT_EQ(store_.Stats().evictions, 0);
}

TEST_F(EmbeddingStoreTest, FullAndFullPlusOne) {
  EXPECT_EQ(store_.Stats().capacity_pages, 6);
  const auto code = [this](const std::vector<int64_t>& rows) { return store_.Allocate("a", rows).status().code(); };
  EXPECT_EQ(code({6 * 32 + 1}), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(code({5 * 32, 1, 1}), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(code({INT64_MAX, INT64_MAX}), absl::StatusCode::kResourceExhausted) << "no sum overflows";
  EXPECT_EQ(code({}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({32, 0}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({-1}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store_.Stats().used_pages, 0) << "a refusal takes nothing";
  EXPECT_EQ(code({6 * 32}), absl::StatusCode::kOk);
}

TEST_F(EmbeddingStoreTest, CheapestPerPageGoesFirst) {
  Put("cheap", Pages({2}), 0.5, 'a').Release();
  Put("dear", OnePage(2), 9.0, 'b').Release();
  Put("middle", Pages({2}), 2.0, 'c').Release();
  auto fresh = store_.Allocate("new", OnePage(1));
  ASSERT_TRUE(fresh.ok());
  EXPECT_FALSE(store_.Find("cheap", Pages({2})).has_value());
  EXPECT_TRUE(store_.Find("dear", OnePage(2)).has_value());
  EXPECT_TRUE(store_.Find("middle", Pages({2})).has_value());
}

TEST_F(EmbeddingStoreTest, AmongEqualsTheLeastRecentlyUsedGoes) {
  Put("a", OnePage(2), 1, 'a').Release();
  Put("b", OnePage(2), 1, 'b').Release();
  Put("c", OnePage(2), 1, 'c').Release();
  store_.Allocate("x", OnePage(1))->Release();  // evicts a, raises the inflation
  store_.Find("b", OnePage(2))->Release();      // b is younger than c now
  auto d = store_.Allocate("d", OnePage(4));
  ASSERT_TRUE(d.ok());
  EXPECT_FALSE(store_.Find("c", OnePage(2)).has_value());
  EXPECT_TRUE(store_.Find("b", OnePage(2)).has_value());
}

TEST_F(EmbeddingStoreTest, HitNeedsTheSameRowsOfEveryPiece) {
  const EmbeddingPin a = Put("a", {40, 30}, 1, 'a');
  for (const std::vector<int64_t>& other : std::vector<std::vector<int64_t>>{{40}, {30, 40}, {40, 30, 1}, {40, 31}}) {
    EXPECT_FALSE(store_.Find("a", other).has_value());
  }
  EXPECT_TRUE(store_.Find("a", std::vector<int64_t>{40, 30}).has_value());
}

TEST_F(EmbeddingStoreTest, SecondEntryOfAKeyIsPrivateAndLeavesWithItsPin) {
  EmbeddingPin first = Put("a", OnePage(1), 1, 'a');
  EmbeddingPin second = Put("a", OnePage(1), 1, 'b');
  std::string data;
  ASSERT_TRUE(store_.Read(second.id(), 0, {0, 1}, &data).ok());
  const uint64_t second_id = second.id();
  second.Release();
  EXPECT_EQ(store_.Read(second_id, 0, {0, 1}, &data).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store_.Find("a", OnePage(1))->id(), first.id());
}

// Random lives of entries, whose pieces have any number of rows, against plain bookkeeping: what is pinned keeps its
// contents, no page is lost or given twice, and a room check is never wrong.
class RandomLives {
 public:
  explicit RandomLives(uint64_t seed) : random_(seed), pages_(Draw(3, 40)) {
    store_.ListenToUsed([this](int64_t bytes) { used_ += bytes; });
    for (auto& rows : rows_of_key_) {
      for (int piece = Draw(1, 3); piece > 0; --piece) rows.push_back(Draw(0, 3) == 0 ? Draw(1, 200) : Draw(1, 40));
    }
  }

  void Step() {
    if (Draw(0, 2) == 0 && !held_.empty()) {
      std::swap(held_[static_cast<size_t>(Draw(0, static_cast<int>(held_.size()) - 1))], held_.back());
      held_.pop_back();
      return;
    }
    const auto key = static_cast<size_t>(Draw(0, kKeys - 1));
    if (auto hit = store_.Find(absl::StrCat(key), rows_of_key_[key])) {
      ASSERT_TRUE(fill_of_key_.contains(key));
      held_.push_back({std::move(*hit), fill_of_key_[key]});
    } else {
      Make(key);
    }
  }

  void Check() {
    for (const Held& held : held_) {
      for (int64_t piece = 0; piece < held.pin.pieces(); ++piece) {
        const int64_t rows = held.pin.rows()[static_cast<size_t>(piece)];
        const int64_t first = Draw(0, static_cast<int>(rows) - 1), count = Draw(1, static_cast<int>(rows - first));
        std::string data;
        ASSERT_TRUE(store_.Read(held.pin.id(), piece, {first, count}, &data).ok());
        ASSERT_EQ(data, std::string(static_cast<size_t>(count * kRowBytes), static_cast<char>(held.fill + piece)));
      }
    }
    std::map<uint64_t, int64_t> pinned;  // pages of each entry that is held
    for (const Held& held : held_) pinned[held.pin.id()] = PagesOf(held.pin.rows());
    int64_t pinned_pages = 0;
    for (const auto& [id, pages] : pinned) pinned_pages += pages;
    const EmbeddingStoreStats stats = store_.Stats();
    ASSERT_EQ(stats.pinned_pages, pinned_pages);
    ASSERT_EQ(used_, stats.used_pages * kPageBytes);
    ASSERT_LE(stats.pinned_pages, stats.used_pages);
    ASSERT_LE(stats.used_pages, pages_);
  }

  // Everything is let go of: one entry of all pages finds room.
  void CheckAllIsFree() {
    held_.clear();
    ASSERT_EQ(store_.Stats().pinned_pages, 0);
    const auto whole = store_.Allocate("", std::vector<int64_t>{pages_ * kEmbeddingPageRows});
    ASSERT_TRUE(whole.ok()) << whole.status();
    ASSERT_EQ(store_.Stats().used_pages, pages_);
  }

 private:
  static constexpr int kKeys = 12;
  struct Held {
    EmbeddingPin pin;
    char fill;
  };

  int Draw(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }

  static int64_t PagesOf(const std::vector<int64_t>& rows) {
    int64_t pages = 0;
    for (const int64_t of_piece : rows) pages += (of_piece + 31) / 32;
    return pages;
  }

  void Make(size_t key) {
    const int64_t pinned = store_.Stats().pinned_pages;
    auto made = store_.Allocate(absl::StrCat(key), rows_of_key_[key]);
    ASSERT_EQ(made.ok(), pinned + PagesOf(rows_of_key_[key]) <= pages_) << made.status();
    if (!made.ok()) return;
    const char fill = static_cast<char>(Draw(0, 100));
    for (int64_t piece = 0; piece < made->pieces(); ++piece) {
      int64_t bytes = 0;
      for (const memory::DeviceSpan& run : made->Piece(piece)) {
        region_.Fill(run, static_cast<char>(fill + piece));
        bytes += run.bytes;
      }
      ASSERT_EQ(bytes, made->rows()[static_cast<size_t>(piece)] * kRowBytes);
    }
    if (Draw(0, 9) == 0) return;  // what was made is given up
    made->Publish(Draw(0, 100) / 10.0);
    fill_of_key_[key] = fill;
    held_.push_back({std::move(*made), fill});
  }

  std::mt19937_64 random_;
  const int64_t pages_;
  memory::testing::FakeRegion region_{pages_ * kPageBytes};
  EmbeddingStore store_{region_.memory(), region_.span(), kRowBytes, 1};
  int64_t used_ = 0;
  std::vector<int64_t> rows_of_key_[kKeys];
  std::map<size_t, char> fill_of_key_;
  std::vector<Held> held_;
};

TEST(EmbeddingStoreTrace, PinnedContentsSurviveAnything) {
  const uint64_t base = std::random_device{}();
  for (uint64_t seed = base; seed < base + 30; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomLives lives(seed);
    for (int step = 0; step < 2000 && !testing::Test::HasFatalFailure(); ++step) {
      lives.Step();
      if (step % 10 == 0) lives.Check();
    }
    lives.CheckAllIsFree();
    if (testing::Test::HasFatalFailure()) return;
  }
}

TEST(EmbeddingStoreThreads, ReadersAndWritersTogether) {
  memory::testing::FakeRegion region(16 * kPageBytes);
  EmbeddingStore store(region.memory(), region.span(), kRowBytes, 1);
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&store, &region, t] {
      for (int round = 0; round < 300; ++round) {
        const int number = (round + t) % 5;
        const std::string key = absl::StrCat(number);
        const std::vector<int64_t> rows = {20 + 10 * number, 33};
        auto pin = store.Find(key, rows);
        if (!pin) {
          auto made = store.Allocate(key, rows);
          if (!made.ok()) continue;
          for (int i = 0; i < 2; ++i) {
            for (const memory::DeviceSpan& run : made->Piece(i)) region.Fill(run, key[0]);
          }
          made->Publish(1);
          pin = std::move(*made);
        }
        std::string data;
        ASSERT_TRUE(store.Read(pin->id(), 1, {0, 33}, &data).ok());
        ASSERT_EQ(data, std::string(33 * kRowBytes, key[0]));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(store.Stats().pinned_pages, 0);
}

}  // namespace
}  // namespace headroom::vision_worker
