#include "model/image/grid_resize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

namespace headroom::model {
namespace {

GridResize Bounds(int64_t pixels_min, int64_t pixels_max) {
  GridResize config;
  config.pixels_min = pixels_min;
  config.pixels_max = pixels_max;
  return config;
}

GridResize HunyuanBounds(int64_t pixels_min, int64_t pixels_max) {
  return {.patch_size = 16,
          .frames = 1,
          .pixels_min = pixels_min,
          .pixels_max = pixels_max,
          .enlarges = false,
          .line_rows = 1,
          .end_rows = 2};
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

// The rule of HunyuanOCR, restated in Python; five of them are sizes of the released processor.
const Golden kHunyuan[] = {
    {1, 1, 512, 512},         {1, 200, 64, 7264},       {15, 16, 512, 544},   {16, 16, 512, 512},
    {48, 16, 896, 320},       {33, 3000, 64, 4896},     {512, 512, 512, 512}, {640, 480, 640, 480},
    {1080, 2400, 1088, 2400}, {2480, 3508, 1696, 2432}, {20, 4000, 64, 7264}, {4000, 20, 7264, 64},
    {8000, 8000, 2048, 2048}, {65535, 330, 28832, 128}, {17, 3400, 64, 7264}, {3840, 2160, 2720, 1536},
};

TEST(GridResizeTest, RowsOfLinesAndEnds) {
  for (const Golden& row : kHunyuan) {
    SCOPED_TRACE(std::to_string(row.width) + "x" + std::to_string(row.height));
    const auto got = ResizeToGrid(row.width, row.height, HunyuanBounds(262'144, 4'194'304));
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->overview_width, row.resized_width);
    EXPECT_EQ(got->overview_height, row.resized_height);
    ASSERT_EQ(got->pieces.size(), 1);
    const PieceShape& piece = got->pieces[0];
    EXPECT_EQ(piece.grid, (PatchGrid{row.resized_height / 16, row.resized_width / 16}));
    EXPECT_EQ(piece.columns, row.resized_width / 32 + 1);
    EXPECT_EQ(piece.rows, row.resized_height / 32 * piece.columns + 2);
  }
  EXPECT_FALSE(ResizeToGrid(1, 201, HunyuanBounds(262'144, 4'194'304)).ok());
}

// FNV-1a over widths and heights, 0 and 0 for what is refused, as the published function of GLM-4.1V gives them for the
// same sizes, and the restatement of HunyuanOCR's.
TEST(GridResizeTest, SweepEqualsThePublishedProcessors) {
  struct {
    GridResize config;
    uint64_t hash;
  } const sweeps[] = {{Bounds(12'544, 9'633'792), 0x8337fa661257aa2d},
                      {Bounds(12'544, 5'000'000), 0xee2db06b2c2489f1},
                      {Bounds(12'544, 100'352), 0xffdb5dd4ce096d1},
                      {HunyuanBounds(262'144, 4'194'304), 0xd231fca08af42d05},
                      {HunyuanBounds(262'144, 1'000'000), 0x7f1a2bfcd29efa45},
                      {HunyuanBounds(9'216, 36'864), 0xcf5029884e6a3205}};
  for (const auto& sweep : sweeps) {
    uint64_t hash = 0xcbf29ce484222325;
    const auto add = [&hash](int value) { hash = (hash ^ static_cast<uint64_t>(value)) * 0x100000001b3; };
    for (int width = 1; width < 5000; width += width < 300 ? 1 : 53) {
      for (int height = 1; height < 5000; height += height < 295 ? 7 : (height == 295 ? 6 : 61)) {
        const auto got = ResizeToGrid(width, height, sweep.config);
        add(got.ok() ? got->overview_width : 0);
        add(got.ok() ? got->overview_height : 0);
      }
    }
    EXPECT_EQ(hash, sweep.hash) << sweep.config.patch_size << " " << sweep.config.pixels_max;
  }
}

// Shapes near every edge of the rule: no picture has more, and the worst that is found is not far below.
TEST(GridResizeTest, NoPictureHasMoreRowsThanTheMost) {
  for (const GridResize& config :
       {Bounds(12'544, 9'633'792), Bounds(12'544, 100'352), HunyuanBounds(262'144, 4'194'304),
        HunyuanBounds(9'216, 36'864), HunyuanBounds(300'000, 307'200), HunyuanBounds(1, 1'024)}) {
    int64_t rows = 0, tokens = 0;
    for (int width = 1; width < 9000; width += width < 400 ? 1 : 37) {
      for (const double ratio : {1.0, 1.3, 2.0, 5.0, 10.0, 30.0, 77.0, 120.0, 180.0, 195.0, 199.0, 200.0}) {
        const int side = static_cast<int>(ratio * width);
        if (side > kImageSideLimit) continue;
        for (const auto& [w, h] : {std::pair{width, side}, {side, width}}) {
          const auto got = ResizeToGrid(w, h, config);
          if (!got.ok()) continue;
          rows = std::max(rows, got->pieces[0].rows);
          tokens = std::max(tokens, got->pieces[0].grid.patches() / 4);
        }
      }
    }
    SCOPED_TRACE(std::to_string(config.patch_size) + " " + std::to_string(config.pixels_max));
    EXPECT_LE(rows, config.RowsMax());
    EXPECT_LE(tokens, config.TokensMax());
    EXPECT_GT(rows, config.RowsMax() * 3 / 4);
    EXPECT_GT(tokens, config.TokensMax() * 3 / 4);
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
