#include "model/image/grid_resize.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

namespace headroom::model {
namespace {

GridResize Bounds(int64_t pixels_min, int64_t pixels_max) {
  GridResize config;
  config.pixels_min = pixels_min;
  config.pixels_max = pixels_max;
  return config;
}

struct Golden {
  int width, height;
  int resized_width, resized_height;
};

// As the processor of transformers 5.24.0 with the published bounds, 12544 and 9633792.
const Golden kGolden[] = {
    {1, 1, 84, 84},           {3, 70, 28, 644},         {27, 28, 84, 84},         {42, 42, 84, 84},
    {70, 70, 84, 84},         {98, 126, 112, 112},      {640, 480, 644, 476},     {1080, 2400, 1092, 2408},
    {1920, 1080, 1932, 1092}, {3840, 2160, 2912, 1624}, {20, 4000, 28, 5600},     {1, 200, 28, 5600},
    {28, 5600, 28, 5600},     {32768, 200, 28084, 168}, {8000, 8000, 2184, 2184}, {65535, 330, 30912, 140},
};

TEST(GridResizeTest, GoldenRows) {
  for (const Golden& row : kGolden) {
    SCOPED_TRACE(std::to_string(row.width) + "x" + std::to_string(row.height));
    const auto got = ResizeToGrid(row.width, row.height, Bounds(12'544, 9'633'792));
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->overview_width, row.resized_width);
    EXPECT_EQ(got->overview_height, row.resized_height);
    EXPECT_EQ(got->image_width, row.width);
    EXPECT_EQ(got->image_height, row.height);
    EXPECT_FALSE(got->sliced());
    ASSERT_EQ(got->pieces.size(), 1);
    const PieceShape& piece = got->pieces[0];
    EXPECT_EQ(piece.grid, (PatchGrid{row.resized_height / 14, row.resized_width / 14}));
    EXPECT_EQ(piece.rows, int64_t{row.resized_width} * row.resized_height / (28 * 28));
    EXPECT_EQ(piece.columns, row.resized_width / 28);
  }
}

// FNV-1a over widths and heights, 0 and 0 for what is refused, as the published function gives them for the same sizes.
TEST(GridResizeTest, SweepEqualsThePublishedProcessor) {
  struct {
    int64_t pixels_min, pixels_max;
    uint64_t hash;
  } const sweeps[] = {{12'544, 9'633'792, 0x8337fa661257aa2d},
                      {12'544, 5'000'000, 0xee2db06b2c2489f1},
                      {12'544, 100'352, 0xffdb5dd4ce096d1}};
  for (const auto& sweep : sweeps) {
    uint64_t hash = 0xcbf29ce484222325;
    const auto add = [&hash](int value) { hash = (hash ^ static_cast<uint64_t>(value)) * 0x100000001b3; };
    for (int width = 1; width < 5000; width += width < 300 ? 1 : 53) {
      for (int height = 1; height < 5000; height += height < 295 ? 7 : (height == 295 ? 6 : 61)) {
        const auto got = ResizeToGrid(width, height, Bounds(sweep.pixels_min, sweep.pixels_max));
        add(got.ok() ? got->overview_width : 0);
        add(got.ok() ? got->overview_height : 0);
      }
    }
    EXPECT_EQ(hash, sweep.hash) << sweep.pixels_max;
  }
}

TEST(GridResizeTest, RefusesWhatTheProcessorRefuses) {
  const GridResize config = Bounds(12'544, 9'633'792);
  EXPECT_FALSE(ResizeToGrid(1, 201, config).ok());
  EXPECT_FALSE(ResizeToGrid(5614, 28, config).ok());
  EXPECT_FALSE(ResizeToGrid(0, 28, config).ok());
  EXPECT_FALSE(ResizeToGrid(28, kImageSideLimit + 1, config).ok());
  EXPECT_FALSE(ResizeToGrid(28, 28, Bounds(2, 1)).ok());
  GridResize bad = config;
  bad.merge = 17;
  EXPECT_FALSE(ResizeToGrid(28, 28, bad).ok());
}

}  // namespace
}  // namespace headroom::model
