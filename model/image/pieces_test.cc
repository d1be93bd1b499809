#include "model/image/pieces.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <tuple>
#include <vector>

namespace headroom::model {
namespace {

struct Golden {
  int width, height;
  int overview_width, overview_height, overview_rows, overview_cols;
  int grid_cols, grid_rows, slice_width, slice_height, slice_rows, slice_cols;
};

// Computed apart from this code, with the arithmetic of the published image processor.
const Golden kGolden[] = {
    {1, 1, 448, 448, 32, 32, 0, 0, 0, 0, 0, 0},
    {100, 100, 448, 448, 32, 32, 0, 0, 0, 0, 0, 0},
    {448, 448, 448, 448, 32, 32, 0, 0, 0, 0, 0, 0},
    {449, 448, 448, 448, 32, 32, 2, 1, 322, 630, 45, 23},
    {448, 449, 448, 448, 32, 32, 1, 2, 630, 322, 23, 45},
    {512, 512, 448, 448, 32, 32, 1, 2, 630, 322, 23, 45},
    {640, 480, 518, 392, 28, 37, 2, 1, 364, 546, 39, 26},
    {480, 640, 392, 518, 37, 28, 1, 2, 546, 364, 26, 39},
    {672, 448, 546, 364, 26, 39, 2, 1, 392, 518, 37, 28},
    {800, 600, 518, 392, 28, 37, 2, 2, 518, 392, 28, 37},
    {1024, 768, 518, 392, 28, 37, 2, 2, 518, 392, 28, 37},
    {1280, 720, 602, 336, 24, 43, 3, 2, 490, 406, 29, 35},
    {720, 1280, 336, 602, 43, 24, 2, 3, 406, 490, 35, 29},
    {1344, 1344, 448, 448, 32, 32, 3, 3, 448, 448, 32, 32},
    {1920, 1080, 602, 336, 24, 43, 4, 2, 420, 476, 34, 30},
    {3840, 2160, 602, 336, 24, 43, 4, 2, 420, 476, 34, 30},
    {1080, 1920, 336, 602, 43, 24, 2, 4, 476, 420, 30, 34},
    {1170, 2532, 308, 658, 47, 22, 2, 4, 434, 462, 33, 31},
    {2480, 3508, 378, 532, 38, 27, 2, 4, 532, 378, 27, 38},
    {4032, 448, 1344, 154, 11, 96, 9, 1, 448, 448, 32, 32},
    {448, 4032, 154, 1344, 96, 11, 1, 9, 448, 448, 32, 32},
    {2000, 200, 1414, 140, 10, 101, 3, 1, 812, 252, 18, 58},
    {147, 500, 238, 826, 59, 17, 0, 0, 0, 0, 0, 0},
    {5000, 50, 4396, 42, 3, 314, 3, 1, 2562, 84, 6, 183},
    {10000, 20, 9996, 14, 1, 714, 0, 0, 0, 0, 0, 0},
};

TEST(PiecesTest, GoldenRows) {
  for (const Golden& row : kGolden) {
    SCOPED_TRACE(std::to_string(row.width) + "x" + std::to_string(row.height));
    absl::StatusOr<PieceGeometry> got = ComputePieces(row.width, row.height, {});
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->overview_width, row.overview_width);
    EXPECT_EQ(got->overview_height, row.overview_height);
    EXPECT_EQ(got->grid_cols, row.grid_cols);
    EXPECT_EQ(got->grid_rows, row.grid_rows);
    EXPECT_EQ(got->slice_width, row.slice_width);
    EXPECT_EQ(got->slice_height, row.slice_height);
    ASSERT_EQ(got->pieces.size(), size_t{1} + row.grid_cols * row.grid_rows);
    EXPECT_EQ(got->pieces[0], (PieceShape{{row.overview_rows, row.overview_cols}, 64}));
    int64_t total = got->pieces[0].grid.patches();
    for (size_t i = 1; i < got->pieces.size(); ++i) {
      EXPECT_EQ(got->pieces[i], (PieceShape{{row.slice_rows, row.slice_cols}, 64}));
      total += int64_t{row.slice_rows} * row.slice_cols;
    }
    EXPECT_EQ(got->total_patches(), total);
  }
}

// The same rules once more, slowly and by other means: exact integers where the rule is exact, a sorted list for the
// grid search.
struct Slow {
  int64_t overview_width, overview_height, cols = 0, rows = 0, slice_width = 0, slice_height = 0;
};

int64_t SlowSnap(int64_t length, int64_t unit) {
  int64_t down = length / unit;
  int64_t twice_rest = 2 * (length - down * unit);
  if (twice_rest > unit) ++down;
  if (twice_rest == unit && down % 2 == 1) ++down;
  return std::max(down * unit, unit);
}

std::pair<int64_t, int64_t> SlowRescale(int64_t width, int64_t height, const SliceConfig& config) {
  double ratio = double(width) / double(height);
  auto new_height = int64_t(config.scale_resolution / std::sqrt(ratio));
  auto new_width = int64_t(double(new_height) * ratio);
  return {SlowSnap(new_width, config.patch_size), SlowSnap(new_height, config.patch_size)};
}

Slow SlowPieces(int64_t width, int64_t height, const SliceConfig& config) {
  Slow slow;
  std::tie(slow.overview_width, slow.overview_height) = SlowRescale(width, height, config);
  int64_t area = int64_t{config.scale_resolution} * config.scale_resolution;
  int64_t wanted = std::min<int64_t>((width * height + area - 1) / area, config.max_slice_nums);
  if (wanted <= 1) return slow;
  struct Candidate {
    double error;
    int64_t count, cols;
  };
  std::vector<Candidate> candidates;
  for (int64_t cols = 1; cols <= wanted + 1; ++cols) {
    for (int64_t rows = 1; cols * rows <= wanted + 1; ++rows) {
      int64_t count = cols * rows;
      if (count < wanted - 1 || count == 1 || count > config.max_slice_nums) continue;
      candidates.push_back(
          {std::abs(std::log(double(width) / double(height)) - std::log(double(cols) / double(rows))), count, cols});
    }
  }
  auto before = [](const Candidate& a, const Candidate& b) {
    return std::tie(a.error, a.count, a.cols) < std::tie(b.error, b.count, b.cols);
  };
  Candidate best = *std::min_element(candidates.begin(), candidates.end(), before);
  slow.cols = best.cols;
  slow.rows = best.count / best.cols;
  std::tie(slow.slice_width, slow.slice_height) =
      SlowRescale(SlowSnap(width, slow.cols) / slow.cols, SlowSnap(height, slow.rows) / slow.rows, config);
  return slow;
}

void ExpectSame(int width, int height, const SliceConfig& config) {
  absl::StatusOr<PieceGeometry> got = ComputePieces(width, height, config);
  ASSERT_TRUE(got.ok()) << got.status();
  Slow want = SlowPieces(width, height, config);
  bool same = got->overview_width == want.overview_width && got->overview_height == want.overview_height &&
              got->grid_cols == want.cols && got->grid_rows == want.rows && got->slice_width == want.slice_width &&
              got->slice_height == want.slice_height;
  ASSERT_TRUE(same) << width << "x" << height << " max_slice_nums " << config.max_slice_nums << " scale_resolution "
                    << config.scale_resolution << " patch_size " << config.patch_size;
  ASSERT_EQ(got->pieces.size(), size_t(1 + want.cols * want.rows));
  ASSERT_EQ(got->overview_width % config.patch_size, 0);
  ASSERT_EQ(got->pieces[0].grid.rows, want.overview_height / config.patch_size);
  ASSERT_EQ(got->pieces[0].grid.cols, want.overview_width / config.patch_size);
}

TEST(PiecesTest, SweepOfSizesAgreesWithSlowVersion) {
  for (int width = 1; width <= 2400; width += width < 64 ? 1 : 7) {
    for (int height = 1; height <= 2400; height += height < 64 ? 1 : 11) {
      ExpectSame(width, height, {});
      if (HasFatalFailure()) return;
    }
  }
}

TEST(PiecesTest, RandomSizesAndConfigsAgreeWithSlowVersion) {
  unsigned seed = std::random_device{}();
  RecordProperty("seed", std::to_string(seed));
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> log_side(0, std::log(double(kImageSideLimit)));
  const int scales[] = {448, 224, 336, 100, 14, 980, 8192};
  const int patches[] = {14, 14, 16, 7, 10, 1};
  for (int i = 0; i < 100'000; ++i) {
    SliceConfig config;
    config.scale_resolution = scales[random() % std::size(scales)];
    config.patch_size = std::min(patches[random() % std::size(patches)], config.scale_resolution);
    config.max_slice_nums = random() % 8 == 0 ? 1 + random() % kMaxSliceNumsLimit : 1 + random() % 20;
    ExpectSame(int(std::exp(log_side(random))), int(std::exp(log_side(random))), config);
    ASSERT_FALSE(HasFatalFailure()) << "seed " << seed;
  }
}

TEST(PiecesTest, LargestSidesDoNotOverflow) {
  for (int width : {1, 2, 65535}) {
    for (int height : {1, 2, 65535}) {
      for (int scale : {1, 8192}) {
        SliceConfig config{kMaxSliceNumsLimit, scale, 1};
        absl::StatusOr<PieceGeometry> got = ComputePieces(width, height, config);
        ASSERT_TRUE(got.ok());
        EXPECT_GT(got->total_patches(), 0);
        EXPECT_LE(got->pieces.size(), size_t{1} + kMaxSliceNumsLimit);
      }
    }
  }
}

// By hand: a resampler's number whatever the grid; a row for each square of patches, squares that stick out included;
// and what is added behind each line and around the piece.
TEST(PiecesTest, RowsFollowTheRuleOfTheModel) {
  constexpr RowRule kResampler{.queries = 96}, kMerger{.queries = 0, .merge_side = 2};
  constexpr RowRule kLines{.queries = 0, .merge_side = 2, .line_rows = 1, .end_rows = 2};
  const struct {
    PatchGrid grid;
    int64_t resampler, merger, lines;
  } rows[] = {
      {{2, 2}, 96, 1, 4}, {{4, 6}, 96, 6, 10}, {{5, 3}, 96, 6, 11}, {{1, 1}, 96, 1, 4}, {{74, 74}, 96, 1369, 1408}};
  for (const auto& row : rows) {
    EXPECT_EQ(kResampler.Rows(row.grid), row.resampler);
    EXPECT_EQ(kMerger.Rows(row.grid), row.merger);
    EXPECT_EQ(kLines.Rows(row.grid), row.lines);
  }
  // Overview of 42 × 24 patches and slices of another grid: each piece has its own number.
  const SliceConfig config{.rows = kMerger};
  const absl::StatusOr<PieceGeometry> got = ComputePieces(1000, 500, config);
  ASSERT_TRUE(got.ok()) << got.status();
  ASSERT_GT(got->pieces.size(), 1u);
  const std::vector<int64_t> piece_rows = got->piece_rows();
  for (size_t i = 0; i < piece_rows.size(); ++i) {
    const PatchGrid& grid = got->pieces[i].grid;
    EXPECT_EQ(piece_rows[i], int64_t{(grid.rows + 1) / 2} * ((grid.cols + 1) / 2));
  }
  EXPECT_NE(piece_rows[0], piece_rows[1]);
}

TEST(PiecesTest, RefusesWhatIsOutOfRange) {
  auto refused = [](int width, int height, SliceConfig config) {
    absl::Status status = ComputePieces(width, height, config).status();
    return status.code() == absl::StatusCode::kInvalidArgument ? std::string(status.message()) : "";
  };
  EXPECT_EQ(refused(0, 5, {}), "image width: 0 is not between 1 and 65535");
  EXPECT_EQ(refused(5, -1, {}), "image height: -1 is not between 1 and 65535");
  EXPECT_EQ(refused(65536, 5, {}), "image width: 65536 is not between 1 and 65535");
  EXPECT_EQ(refused(5, 5, {0, 448, 14}), "max_slice_nums: 0 is not between 1 and 256");
  EXPECT_EQ(refused(5, 5, {257, 448, 14}), "max_slice_nums: 257 is not between 1 and 256");
  EXPECT_EQ(refused(5, 5, {9, 0, 14}), "scale_resolution: 0 is not between 1 and 8192");
  EXPECT_EQ(refused(5, 5, {9, 448, 0}), "patch_size: 0 is not between 1 and 448");
  EXPECT_EQ(refused(5, 5, {9, 10, 14}), "patch_size: 14 is not between 1 and 10");
  EXPECT_EQ(refused(5, 5, {.rows = {.queries = -1}}), "rows of a piece: -1 is not between 0 and 65536");
  EXPECT_EQ(refused(5, 5, {.rows = {.queries = 0, .merge_side = 0}}), "merge_side: 0 is not between 1 and 448");
}

TEST(PiecesTest, PatchLimitStopsExtremeRatiosOnly) {
  absl::StatusOr<PieceGeometry> thin = ComputePieces(4096, 1, {});
  ASSERT_TRUE(thin.ok());
  EXPECT_EQ(thin->largest_piece_patches(), 2048);
  EXPECT_TRUE(CheckPiecePatches(*thin, 2048).ok());
  EXPECT_EQ(
      CheckPiecePatches(*thin, 2047).message(),
      "image of 4096x1 pixels needs a piece of 2048 patches: limit 2047 (a less extreme aspect ratio needs fewer)");
  for (const Golden& row : kGolden) {
    absl::StatusOr<PieceGeometry> got = ComputePieces(row.width, row.height, {});
    ASSERT_TRUE(got.ok());
    EXPECT_TRUE(CheckPiecePatches(*got, 1120).ok()) << row.width << "x" << row.height;
  }
}

}  // namespace
}  // namespace headroom::model
