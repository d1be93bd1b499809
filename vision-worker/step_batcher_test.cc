#include "vision-worker/step_batcher.h"

#include <gtest/gtest.h>

#include <cstring>
#include <future>
#include <limits>
#include <random>

#include "common/check.h"
#include "common/embedding_pages.h"
#include "memory/testing/fake_memory.h"

namespace headroom::vision_worker {
namespace {

constexpr int64_t kColumns = 3;
constexpr int64_t kRowBytes = kColumns * sizeof(float);
constexpr int64_t kPageBytes = kEmbeddingPageRows * kRowBytes;

// A piece of so many patches has so many rows here.
int64_t RowsOf(int64_t patches) { return 5 * patches; }
constexpr uint8_t kPoison = 255;

TEST(ChooseStep, TheOldestAlwaysGoesAndOthersFillTheRest) {
  const std::vector<int64_t> patches = {600, 500, 300, 100, 100};
  EXPECT_EQ(ChooseStep(patches, {.patches_max = 1000, .pieces_max = 10}), (std::vector<size_t>{0, 2, 3}));
  EXPECT_EQ(ChooseStep(patches, {.patches_max = 1000, .pieces_max = 2}), (std::vector<size_t>{0, 2}));
  EXPECT_EQ(ChooseStep(patches, {.patches_max = 600, .pieces_max = 2}), (std::vector<size_t>{0}));
  EXPECT_TRUE(ChooseStep({}, {.patches_max = 600, .pieces_max = 2}).empty());
}

TEST(ChooseStep, RandomQueuesDrainInBoundedSteps) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    std::mt19937_64 random(seed);
    const StepBounds bounds{.patches_max = 50 + static_cast<int64_t>(random() % 100),
                            .pieces_max = 1 + static_cast<int64_t>(random() % 5)};
    std::vector<int64_t> queue(random() % 40);
    for (auto& patches : queue) patches = 1 + static_cast<int64_t>(random() % 50);
    while (!queue.empty()) {
      const std::vector<size_t> chosen = ChooseStep(queue, bounds);
      ASSERT_FALSE(chosen.empty()) << seed;
      ASSERT_EQ(chosen[0], 0u) << seed;
      ASSERT_LE(static_cast<int64_t>(chosen.size()), bounds.pieces_max) << seed;
      int64_t sum = 0;
      for (size_t i = chosen.size(); i-- > 0;) {
        ASSERT_TRUE(i == 0 || chosen[i - 1] < chosen[i]) << seed;
        sum += queue[chosen[i]];
        queue.erase(queue.begin() + static_cast<int64_t>(chosen[i]));
      }
      ASSERT_LE(sum, bounds.patches_max) << seed;
    }
  }
}

class StepBatcherTest : public testing::Test {
 protected:
  struct Result {
    std::shared_ptr<ImageJob> job;
    std::future<absl::Status> status;
  };

  // One row of patches per piece; its first byte names it.
  Result Submit(const std::vector<std::pair<int, uint8_t>>& pieces) {
    Result result{std::make_shared<ImageJob>(), {}};
    for (const auto& [patches, name] : pieces) {
      result.job->pieces.push_back({.grid = {.rows = 1, .cols = patches}, .patch_size = 1, .rgb = {name, 0, 0}});
    }
    std::vector<int64_t> rows;
    for (const auto& [patches, name] : pieces) rows.push_back(RowsOf(patches));
    auto pin = store_.Allocate(absl::StrCat("key", ++keys_), rows);
    HEADROOM_CHECK(pin.ok()) << pin.status();
    result.job->pin = std::move(*pin);
    auto promise = std::make_shared<std::promise<absl::Status>>();
    result.status = promise->get_future();
    result.job->done = [promise](absl::Status status, double) { promise->set_value(std::move(status)); };
    if (absl::Status status = batcher_.Submit(result.job); !status.ok()) promise->set_value(status);
    return result;
  }

  absl::StatusOr<std::vector<bool>> Encode(std::span<const StepBatcher::Piece> pieces) {
    std::unique_lock lock(mutex_);
    open_.wait(lock, [this] { return !held_; });
    int64_t patches = 0;
    std::vector<bool> finite;
    for (const StepBatcher::Piece& piece : pieces) {
      patches += piece.pixels->grid.patches();
      const uint8_t name = piece.pixels->rgb.at(0);
      const std::vector<float> rows = Values(RowsOf(piece.pixels->grid.patches()), name);
      std::span<const std::byte> left = std::as_bytes(std::span(rows));
      for (const memory::DeviceSpan& run : piece.to) {
        HEADROOM_CHECK(region_.memory().Write(left.first(static_cast<size_t>(run.bytes)), run.data).ok());
        left = left.subspan(static_cast<size_t>(run.bytes));
      }
      HEADROOM_CHECK(left.empty()) << left.size() << " bytes have no place";
      finite.push_back(name != kPoison);
    }
    steps_.push_back(patches);
    if (fail_) return absl::InternalError("broken device");
    return finite;
  }

  void Hold(bool held) {
    {
      std::lock_guard lock(mutex_);
      held_ = held;
    }
    open_.notify_all();
  }

  static std::vector<float> Values(int64_t rows, uint8_t name) {
    std::vector<float> values(static_cast<size_t>(rows * kColumns));
    for (size_t j = 0; j < values.size(); ++j) values[j] = static_cast<float>(name * 1000 + static_cast<int>(j));
    return values;
  }

  void ExpectContents(const Result& result, int64_t piece, uint8_t name) {
    std::string data;
    const int64_t rows = result.job->pin.rows()[static_cast<size_t>(piece)];
    ASSERT_TRUE(store_.Read(result.job->pin.id(), piece, {0, rows}, &data).ok());
    std::vector<float> values(data.size() / sizeof(float));
    std::memcpy(values.data(), data.data(), data.size());
    EXPECT_EQ(values, Values(rows, name));
  }

  std::mutex mutex_;
  std::condition_variable open_;
  bool held_ = false;
  bool fail_ = false;
  std::vector<int64_t> steps_;
  int keys_ = 0;
  memory::testing::FakeRegion region_{40 * kPageBytes};
  EmbeddingStore store_{region_.memory(), region_.span(), kRowBytes, 1};
  StepBatcher batcher_{{.bounds = {.patches_max = 10, .pieces_max = 4}, .pieces_waiting_max = 12},
                       [this](auto pieces) { return Encode(pieces); },
                       SystemClock(),
                       [](const StepReport&) {}};
};

TEST_F(StepBatcherTest, PiecesOfSeveralImagesShareSteps) {
  Hold(true);
  Result first = Submit({{9, 1}});  // keeps the thread busy
  Result a = Submit({{4, 2}, {5, 3}});
  Result b = Submit({{1, 4}, {10, 5}});
  Hold(false);
  for (Result* result : {&first, &a, &b}) EXPECT_TRUE(result->status.get().ok());
  ExpectContents(a, 0, 2);
  ExpectContents(a, 1, 3);
  ExpectContents(b, 0, 4);
  ExpectContents(b, 1, 5);
  int64_t patches = 0;
  for (int64_t step : steps_) {
    EXPECT_LE(step, 10);
    patches += step;
  }
  EXPECT_EQ(patches, 9 + 9 + 11);
  EXPECT_LE(steps_.size(), 4u);
}

TEST_F(StepBatcherTest, BadValuesFailOnlyTheirImage) {
  Hold(true);
  Result good = Submit({{3, 1}}), bad = Submit({{3, kPoison}, {10, 2}}), other = Submit({{3, 3}});
  Hold(false);
  EXPECT_TRUE(good.status.get().ok());
  EXPECT_EQ(bad.status.get().code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(other.status.get().ok());
  ExpectContents(other, 0, 3);
}

TEST_F(StepBatcherTest, FailedStepFailsItsImagesAndLaterOnesRun) {
  fail_ = true;
  EXPECT_EQ(Submit({{3, 1}}).status.get().code(), absl::StatusCode::kInternal);
  fail_ = false;
  EXPECT_TRUE(Submit({{3, 1}}).status.get().ok());
}

TEST_F(StepBatcherTest, CancelledImageLeavesTheQueue) {
  Hold(true);
  Result first = Submit({{10, 1}});
  Result cancelled = Submit({{10, 2}, {10, 3}});
  Result last = Submit({{10, 4}});
  cancelled.job->cancelled = true;
  Hold(false);
  EXPECT_EQ(cancelled.status.get().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(last.status.get().ok());
  EXPECT_TRUE(first.status.get().ok());
  EXPECT_EQ(batcher_.pieces_waiting(), 0);
}

TEST_F(StepBatcherTest, BoundsAreKept) {
  EXPECT_EQ(Submit({{11, 1}}).status.get().code(), absl::StatusCode::kInvalidArgument);
  Hold(true);
  Result running = Submit({{10, 1}});
  while (batcher_.pieces_waiting() > 0) std::this_thread::yield();
  Result full = Submit(std::vector<std::pair<int, uint8_t>>(12, {1, 1}));
  EXPECT_EQ(Submit({{1, 1}}).status.get().code(), absl::StatusCode::kResourceExhausted);
  Hold(false);
  EXPECT_TRUE(full.status.get().ok());
  EXPECT_TRUE(running.status.get().ok());
}

TEST(StepBatcherStop, WhatWaitsIsCancelled) {
  memory::testing::FakeRegion region(4 * kPageBytes);
  EmbeddingStore store(region.memory(), region.span(), kRowBytes, 1);
  std::promise<void> entered, leave;
  auto job = [&](std::promise<absl::Status>& promise) {
    auto made = std::make_shared<ImageJob>();
    made->pieces.push_back({.grid = {.rows = 1, .cols = 1}, .patch_size = 1, .rgb = {1, 2, 3}});
    made->pin = std::move(*store.Allocate("", std::vector<int64_t>{5}));
    made->done = [&promise](absl::Status status, double) { promise.set_value(std::move(status)); };
    return made;
  };
  std::promise<absl::Status> first, second;
  bool used = false;
  auto batcher = std::make_unique<StepBatcher>(
      StepBatcher::Options{.bounds = {.patches_max = 1, .pieces_max = 1}, .pieces_waiting_max = 4},
      [&](auto) -> absl::StatusOr<std::vector<bool>> {
        if (!std::exchange(used, true)) {
          entered.set_value();
          leave.get_future().wait();
        }
        return std::vector<bool>{true};
      },
      SystemClock(), [](const StepReport&) {});
  ASSERT_TRUE(batcher->Submit(job(first)).ok());
  entered.get_future().wait();
  ASSERT_TRUE(batcher->Submit(job(second)).ok());
  std::thread stopper([&] { batcher.reset(); });
  std::this_thread::yield();
  leave.set_value();
  stopper.join();
  EXPECT_TRUE(first.get_future().get().ok());
  // It was stopped before or after its turn; either way it was told.
  const absl::Status status = second.get_future().get();
  EXPECT_TRUE(status.ok() || status.code() == absl::StatusCode::kCancelled) << status;
}

}  // namespace
}  // namespace headroom::vision_worker
