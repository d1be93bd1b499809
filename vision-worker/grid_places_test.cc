#include "vision-worker/grid_places.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace headroom::vision_worker
