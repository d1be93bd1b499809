#include "llm-worker/rotary_positions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace headroom::llm_worker {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;

// One axis of the positions of tokens [begin, begin + count).
std::vector<int32_t> Axis(const std::vector<TokenGrid>& grids, int64_t begin, int64_t count, size_t axis) {
  std::vector<int32_t> positions(static_cast<size_t>(3 * count)), of_axis;
  PlacePositions({.rows = count, .cached = begin, .blocks = {}, .grids = grids}, 3, positions);
  for (size_t i = axis; i < positions.size(); i += 3) of_axis.push_back(positions[i]);
  return of_axis;
}

// The case "small" of tests/golden/glm4v: position_ids of the published code.
TEST(RotaryPositionsTest, APictureInText) {
  const std::vector<TokenGrid> grids = {{.begin = 5, .rows = 2, .cols = 4}};
  EXPECT_THAT(Axis(grids, 0, 17, 0), ElementsAre(0, 1, 2, 3, 4, 5, 5, 5, 5, 5, 5, 5, 5, 9, 10, 11, 12));
  EXPECT_THAT(Axis(grids, 0, 17, 1), ElementsAre(0, 1, 2, 3, 4, 5, 5, 5, 5, 6, 6, 6, 6, 9, 10, 11, 12));
  EXPECT_THAT(Axis(grids, 0, 17, 2), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 5, 6, 7, 8, 9, 10, 11, 12));
}

TEST(RotaryPositionsTest, AStepMayBeginAnywhere) {
  const std::vector<TokenGrid> grids = {{.begin = 1, .rows = 3, .cols = 2}, {.begin = 7, .rows = 1, .cols = 5}};
  for (size_t axis = 0; axis < 3; ++axis) {
    const std::vector<int32_t> all = Axis(grids, 0, 20, axis);
    for (int64_t begin = 0; begin < 20; ++begin) {
      EXPECT_THAT(Axis(grids, begin, 20 - begin, axis), ElementsAreArray(all.begin() + begin, all.end())) << begin;
    }
  }
}

TEST(RotaryPositionsTest, OneAxisCountsTokens) {
  const std::vector<TokenGrid> grids = {{.begin = 1, .rows = 2, .cols = 2}};
  std::vector<int32_t> positions(4);
  PlacePositions({.rows = 4, .cached = 3, .blocks = {}, .grids = grids}, 1, positions);
  EXPECT_THAT(positions, ElementsAre(3, 4, 5, 6));
}

TEST(RotaryPositionsTest, WrongGridsAreRefused) {
  EXPECT_TRUE(CheckGrids({}).ok());
  EXPECT_TRUE(CheckGrids(std::vector<TokenGrid>{{0, 1, 2}, {2, 1, 1}}).ok());
  EXPECT_FALSE(CheckGrids(std::vector<TokenGrid>{{0, 1, 2}, {1, 1, 1}}).ok());
  EXPECT_FALSE(CheckGrids(std::vector<TokenGrid>{{0, 0, 2}}).ok());
  EXPECT_FALSE(CheckGrids(std::vector<TokenGrid>{{-1, 1, 2}}).ok());
}

}  // namespace
}  // namespace headroom::llm_worker
