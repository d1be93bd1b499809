#include "llm-worker/rotary_positions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "common/testing/paths.h"

namespace headroom::llm_worker {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;

model::Rope InSequence() { return {.sections = {8, 12, 12}}; }
model::Rope InPictures(std::vector<int64_t> sections) {
  return {.sections = std::move(sections), .kind = model::RopeAxes::kTokenColumnRowPicture};
}

// One axis of the positions of tokens [begin, begin + count).
std::vector<int32_t> Axis(const std::vector<TokenGrid>& grids, int64_t begin, int64_t count, size_t axis,
                          const model::Rope& rope = InSequence()) {
  const auto axes = static_cast<size_t>(rope.axes());
  std::vector<int32_t> positions(axes * static_cast<size_t>(count)), of_axis;
  PlacePositions({.rows = count, .cached = begin, .blocks = {}, .grids = grids}, rope, positions);
  for (size_t i = axis; i < positions.size(); i += axes) of_axis.push_back(positions[i]);
  return of_axis;
}

// The case "small" of tests/golden/glm4v: position_ids of the published code.
TEST(RotaryPositionsTest, APictureInText) {
  const std::vector<TokenGrid> grids = {{.begin = 5, .rows = 2, .cols = 4}};
  EXPECT_THAT(Axis(grids, 0, 17, 0), ElementsAre(0, 1, 2, 3, 4, 5, 5, 5, 5, 5, 5, 5, 5, 9, 10, 11, 12));
  EXPECT_THAT(Axis(grids, 0, 17, 1), ElementsAre(0, 1, 2, 3, 4, 5, 5, 5, 5, 6, 6, 6, 6, 9, 10, 11, 12));
  EXPECT_THAT(Axis(grids, 0, 17, 2), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 5, 6, 7, 8, 9, 10, 11, 12));
}

// All cases of tests/golden/hunyuan_vl: position_ids as the released code makes them.
TEST(RotaryPositionsTest, PlacesInPictures) {
  int cases = 0;
  for (const auto& entry : std::filesystem::directory_iterator(SourceDir() + "/tests/golden/hunyuan_vl/expected")) {
    if (entry.path().extension() != ".json") continue;
    const nlohmann::json expected = nlohmann::json::parse(std::ifstream(entry.path()));
    if (!expected.is_object() || !expected.contains("position_ids")) continue;
    SCOPED_TRACE(entry.path().filename());
    std::vector<TokenGrid> grids;
    for (size_t i = 0; i < expected["grid_thw"].size(); ++i) {
      // Two patches a side of a token, a newline behind each line, a row at either end.
      const nlohmann::json& patches = expected["grid_thw"][i];
      grids.push_back({.begin = expected["image_bounds"][i][0].get<int64_t>() + 1,
                       .rows = patches[1].get<int32_t>() / 2,
                       .cols = patches[2].get<int32_t>() / 2 + 1});
    }
    const auto wanted = expected["position_ids"].get<std::vector<std::vector<int32_t>>>();
    const auto tokens = static_cast<int64_t>(wanted[0].size());
    for (size_t axis = 0; axis < 4; ++axis) {
      EXPECT_EQ(Axis(grids, 0, tokens, axis, InPictures({4, 5, 6, 3})), wanted[axis]) << axis;
      if (axis > 0) {
        EXPECT_EQ(Axis(grids, 0, tokens, axis - 1, InPictures({6, 6, 6})), wanted[axis]) << axis;
      }
    }
    ++cases;
  }
  EXPECT_EQ(cases, 7);
}

TEST(RotaryPositionsTest, AStepMayBeginAnywhere) {
  const std::vector<TokenGrid> grids = {{.begin = 1, .rows = 3, .cols = 2}, {.begin = 7, .rows = 1, .cols = 5}};
  for (const model::Rope& rope : {InSequence(), InPictures({1, 1, 1}), InPictures({1, 1, 1, 1})}) {
    for (size_t axis = 0; axis < rope.sections.size(); ++axis) {
      const std::vector<int32_t> all = Axis(grids, 0, 20, axis, rope);
      for (int64_t begin = 0; begin < 20; ++begin) {
        EXPECT_THAT(Axis(grids, begin, 20 - begin, axis, rope), ElementsAreArray(all.begin() + begin, all.end()))
            << begin;
      }
    }
  }
}

TEST(RotaryPositionsTest, OneAxisCountsTokens) {
  const std::vector<TokenGrid> grids = {{.begin = 1, .rows = 2, .cols = 2}};
  std::vector<int32_t> positions(4);
  PlacePositions({.rows = 4, .cached = 3, .blocks = {}, .grids = grids}, {}, positions);
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
