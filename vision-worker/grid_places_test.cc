#include "vision-worker/grid_places.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace headroom::vision_worker {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;

TEST(GridPlacesTest, BlocksRowByRow) {
  std::vector<int32_t> places(2 * 2 * 4);
  GridPlaces({.rows = 2, .cols = 4}, 2, places);
  EXPECT_THAT(places, ElementsAre(0, 0, 0, 1, 1, 0, 1, 1, 0, 2, 0, 3, 1, 2, 1, 3));
}

TEST(GridPlacesTest, AGridOfTheTablesSizeTakesItsRows) {
  const model::PatchGrid grid{.rows = 4, .cols = 4};
  std::vector<int32_t> places(2 * 16), index(16 * kBicubicTaps);
  std::vector<float> weights(index.size());
  GridPlaces(grid, 2, places);
  BicubicTaps(grid, 4, places, index, weights);
  for (size_t patch = 0; patch < 16; ++patch) {
    const int32_t own = places[2 * patch] * 4 + places[2 * patch + 1];
    float of_own = 0, of_others = 0;
    for (size_t i = patch * kBicubicTaps; i < (patch + 1) * kBicubicTaps; ++i) {
      (index[i] == own ? of_own : of_others) += weights[i];
    }
    EXPECT_FLOAT_EQ(of_own, 1);
    EXPECT_NEAR(of_others, 0, 1e-6);
  }
}

// Two patches over a table of one row of four: places 0.5 and 2.5, halfway between two rows, with taps that the edges
// clamp. Halfway the kernel of A = −0.75 gives −0.09375, 0.59375, 0.59375, −0.09375.
TEST(GridPlacesTest, HalfwayBetweenRows) {
  const model::PatchGrid grid{.rows = 2, .cols = 2};
  std::vector<int32_t> places(2 * 4), index(4 * kBicubicTaps);
  std::vector<float> weights(index.size());
  GridPlaces(grid, 2, places);
  BicubicTaps(grid, 4, places, index, weights);
  // Patch (0, 1): rows −1 … 2, columns 1 … 4.
  const auto first = index.begin() + kBicubicTaps;
  EXPECT_THAT(std::vector<int32_t>(first, first + kBicubicTaps),
              ElementsAre(1, 2, 3, 3, 1, 2, 3, 3, 5, 6, 7, 7, 9, 10, 11, 11));
  const std::vector<float> of_row(weights.begin() + kBicubicTaps, weights.begin() + kBicubicTaps + 4);
  EXPECT_THAT(of_row, ElementsAre(FloatEq(-0.09375f * -0.09375f), FloatEq(-0.09375f * 0.59375f),
                                  FloatEq(-0.09375f * 0.59375f), FloatEq(-0.09375f * -0.09375f)));
}

// Three patches over a table of eight rows behind another: scale 8 / 3.1. The fourth side keeps its size.
TEST(GridPlacesTest, BilinearAsIfASideWereATenthLonger) {
  const model::PatchGrid grid{.rows = 3, .cols = 8};
  std::vector<int32_t> places(2 * 24), index(24 * kBilinearTaps);
  std::vector<float> weights(index.size());
  GridPlaces(grid, 1, places);
  BilinearTaps(grid, 8, 1, places, index, weights);
  const double rows[] = {0.5 * 8 / 3.1 - 0.5, 1.5 * 8 / 3.1 - 0.5, 2.5 * 8 / 3.1 - 0.5};
  for (int row = 0; row < 3; ++row) {
    const int first = static_cast<int>(rows[row]);
    for (int col = 0; col < 8; ++col) {
      SCOPED_TRACE(row * 8 + col);
      const auto at = static_cast<size_t>(row * 8 + col) * kBilinearTaps;
      EXPECT_EQ(index[at], 1 + first * 8 + col);
      EXPECT_EQ(index[at + 2], 1 + (first + 1) * 8 + col);
      EXPECT_EQ(index[at + 1], 1 + first * 8 + std::min(col + 1, 7));
      EXPECT_FLOAT_EQ(weights[at], static_cast<float>(1 - (rows[row] - first)));
      EXPECT_FLOAT_EQ(weights[at + 2], static_cast<float>(rows[row] - first));
      EXPECT_EQ(weights[at + 1], 0);
      EXPECT_EQ(weights[at + 3], 0);
    }
  }
}

// A long side over a small table stays inside it, and the weights of a patch are one together.
TEST(GridPlacesTest, BilinearStaysInTheTable) {
  const model::PatchGrid grid{.rows = 2, .cols = 454};
  std::vector<int32_t> places(2 * 908), index(908 * kBilinearTaps);
  std::vector<float> weights(index.size());
  GridPlaces(grid, 2, places);
  BilinearTaps(grid, 8, 1, places, index, weights);
  for (size_t patch = 0; patch < 908; ++patch) {
    float sum = 0;
    for (size_t i = patch * kBilinearTaps; i < (patch + 1) * kBilinearTaps; ++i) {
      ASSERT_GE(index[i], 1);
      ASSERT_LE(index[i], 64);
      ASSERT_GE(weights[i], 0);
      sum += weights[i];
    }
    EXPECT_FLOAT_EQ(sum, 1);
  }
}

}  // namespace
}  // namespace headroom::vision_worker
