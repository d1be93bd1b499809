#include "vision-worker/position.h"

#include <cmath>
#include <map>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace headroom::vision_worker {
namespace {

using ::testing::ElementsAre;

int32_t Exact(int64_t i, int64_t n, int64_t side) { return static_cast<int32_t>(side * i / n); }

// The patches whose bucket differs from exact arithmetic, because torch.arange computes it in float32.
TEST(PositionBucketsTest, RoundingMovesThePatchesThatTheReferenceMoves) {
  const std::map<int, std::map<int, int>> moved = {
      {25, {{5, 13}, {10, 27}, {15, 41}, {20, 55}}},
      {49, {{7, 9}, {14, 19}, {35, 49}, {42, 59}}},
      {50, {{5, 6}, {10, 13}, {15, 20}, {20, 27}, {30, 41}, {40, 55}}},
      {55, {{11, 13}, {22, 27}, {33, 41}, {44, 55}}},
      {58, {{29, 34}}},
      {77, {{55, 49}}},
      {82, {{41, 34}}},
      {98, {{7, 4}, {14, 9}, {35, 24}, {42, 29}, {56, 39}, {70, 49}, {84, 59}}},
  };
  for (int n = 1; n <= 76; ++n) {
    if (n > 48 && n < 59 && !moved.contains(n)) continue;  // the notes give values for some of these only
    const std::vector<int32_t> buckets = PositionBuckets(n, 70);
    for (int i = 0; i < n; ++i) {
      const bool is_moved = moved.contains(n) && moved.at(n).contains(i);
      EXPECT_EQ(buckets[i], is_moved ? moved.at(n).at(i) : Exact(i, n, 70)) << "patch " << i << " of " << n;
    }
  }
  for (const auto& [n, patches] : moved) {
    const std::vector<int32_t> buckets = PositionBuckets(n, 70);
    for (const auto& [i, bucket] : patches) EXPECT_EQ(buckets[i], bucket) << "patch " << i << " of " << n;
  }
}

TEST(PositionBucketsTest, InOrderWithinTheTableAndAtMostOneBelowExact) {
  for (const int64_t side : {1, 2, 3, 7, 16, 27, 28, 70, 96}) {
    for (int64_t n = 1; n <= 400; ++n) {
      const std::vector<int32_t> buckets = PositionBuckets(n, side);
      ASSERT_EQ(static_cast<int64_t>(buckets.size()), n);
      for (int64_t i = 0; i < n; ++i) {
        ASSERT_GE(buckets[i], i == 0 ? 0 : buckets[i - 1]);
        ASSERT_LT(buckets[i], side);
        ASSERT_LE(std::abs(buckets[i] - Exact(i, n, side)), 1) << "patch " << i << " of " << n << ", side " << side;
      }
    }
  }
}

// Values of torch 2.x for a table of 20 rows: there the boundaries, too, depend on how torch rounds in vectors.
TEST(PositionBucketsTest, BoundariesRoundAsInTheReference) {
  EXPECT_THAT(PositionBuckets(25, 20),
              ElementsAre(0, 0, 1, 2, 3, 3, 4, 5, 6, 7, 7, 8, 9, 10, 11, 12, 12, 13, 14, 15, 15, 16, 17, 18, 19));
}

TEST(PositionIndexTest, RowsFirst) {
  std::vector<int32_t> index(6);
  PositionIndex(2, 3, 70, index);
  EXPECT_THAT(index, ElementsAre(0, 23, 46, 35 * 70, 35 * 70 + 23, 35 * 70 + 46));
}

TEST(PositionIndexTest, MoreThanSeventyColumnsStayInTheTable) {
  std::vector<int32_t> index(314);
  PositionIndex(1, 314, 70, index);
  EXPECT_EQ(index.front(), 0);
  EXPECT_EQ(index.back(), 69);
}

TEST(PatchPlacesTest, RowByRow) {
  std::vector<int32_t> row(6), column(6);
  PatchPlaces(2, 3, row, column);
  EXPECT_THAT(row, ElementsAre(0, 0, 0, 1, 1, 1));
  EXPECT_THAT(column, ElementsAre(0, 1, 2, 0, 1, 2));
}

}  // namespace
}  // namespace headroom::vision_worker
