#include "model/image/pieces.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/range.h"
#include "common/status.h"

namespace headroom::model {
namespace {

constexpr int kScaleResolutionMax = 8192;
constexpr int64_t kPieceRowsMax = 65536;

struct PixelSize {
  int64_t width;
  int64_t height;
};

// Python's round(): ties go to the even integer.
int64_t RoundHalfEven(double value) {
  double low = std::floor(value);
  double rest = value - low;
  auto integer = static_cast<int64_t>(low);
  if (rest > 0.5 || (rest == 0.5 && integer % 2 != 0)) ++integer;
  return integer;
}

int64_t Snap(double length, int64_t unit) {
  return std::max(RoundHalfEven(length / static_cast<double>(unit)) * unit, unit);
}

// Size with about scale_resolution² pixels and the same aspect ratio, both sides multiples of patch_size. The width
// comes from the height that is already truncated.
PixelSize Fit(double width, double height, const SliceConfig& config, bool allow_upscale) {
  double scale = config.scale_resolution;
  if (width * height > scale * scale || allow_upscale) {
    double ratio = width / height;
    height = std::trunc(scale / std::sqrt(ratio));
    width = std::trunc(height * ratio);
  }
  return {Snap(width, config.patch_size), Snap(height, config.patch_size)};
}

struct Grid {
  int cols = 0;
  int rows = 0;
};

// The grid whose aspect ratio is nearest in the logarithm, among the factor pairs of m − 1, m, m + 1. Ties keep the
// earlier one.
Grid ChooseGrid(int width, int height, const SliceConfig& config) {
  double ratio = static_cast<double>(int64_t{width} * height) /
                 static_cast<double>(int64_t{config.scale_resolution} * config.scale_resolution);
  int multiple = static_cast<int>(std::min(std::ceil(ratio), static_cast<double>(config.max_slice_nums)));
  if (multiple <= 1) return {};
  double log_ratio = std::log(static_cast<double>(width) / height);
  double smallest = std::numeric_limits<double>::infinity();
  Grid best;
  for (int count = multiple - 1; count <= std::min(multiple + 1, config.max_slice_nums); ++count) {
    if (count == 1) continue;
    for (int cols = 1; cols <= count; ++cols) {
      if (count % cols != 0) continue;
      int rows = count / cols;
      double error = std::fabs(log_ratio - std::log(static_cast<double>(cols) / rows));
      if (error < smallest) {
        smallest = error;
        best = {cols, rows};
      }
    }
  }
  return best;
}

PieceShape ShapeOf(int64_t width, int64_t height, const SliceConfig& config) {
  const PatchGrid grid{static_cast<int>(height / config.patch_size), static_cast<int>(width / config.patch_size)};
  return {.grid = grid, .rows = config.rows.Rows(grid)};
}

}  // namespace

int64_t PieceGeometry::total_patches() const {
  int64_t total = 0;
  for (const PieceShape& piece : pieces) total += piece.grid.patches();
  return total;
}

int64_t PieceGeometry::largest_piece_patches() const {
  int64_t largest = 0;
  for (const PieceShape& piece : pieces) largest = std::max(largest, piece.grid.patches());
  return largest;
}

std::vector<int64_t> PieceGeometry::piece_rows() const {
  std::vector<int64_t> rows;
  rows.reserve(pieces.size());
  for (const PieceShape& piece : pieces) rows.push_back(piece.rows);
  return rows;
}

absl::StatusOr<PieceGeometry> ComputePieces(int width, int height, const SliceConfig& config) {
  HEADROOM_RETURN_IF_ERROR(CheckRange("image width", width, 1, kImageSideLimit));
  HEADROOM_RETURN_IF_ERROR(CheckRange("image height", height, 1, kImageSideLimit));
  HEADROOM_RETURN_IF_ERROR(CheckRange("max_slice_nums", config.max_slice_nums, 1, kMaxSliceNumsLimit));
  HEADROOM_RETURN_IF_ERROR(CheckRange("scale_resolution", config.scale_resolution, 1, kScaleResolutionMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("patch_size", config.patch_size, 1, config.scale_resolution));
  HEADROOM_RETURN_IF_ERROR(CheckRange("rows of a piece", config.rows.queries, 0, kPieceRowsMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("merge_side", config.rows.merge_side, 1, config.scale_resolution));

  Grid grid = ChooseGrid(width, height, config);
  PieceGeometry geometry;
  geometry.image_width = width;
  geometry.image_height = height;
  geometry.patch_size = config.patch_size;
  PixelSize overview = Fit(width, height, config, /*allow_upscale=*/grid.cols == 0);
  geometry.overview_width = static_cast<int>(overview.width);
  geometry.overview_height = static_cast<int>(overview.height);
  geometry.pieces.push_back(ShapeOf(overview.width, overview.height, config));
  if (grid.cols == 0) return geometry;

  PixelSize slice = Fit(static_cast<double>(Snap(width, grid.cols)) / grid.cols,
                        static_cast<double>(Snap(height, grid.rows)) / grid.rows, config, /*allow_upscale=*/true);
  geometry.grid_cols = grid.cols;
  geometry.grid_rows = grid.rows;
  geometry.slice_width = static_cast<int>(slice.width);
  geometry.slice_height = static_cast<int>(slice.height);
  geometry.pieces.resize(1 + size_t{1} * grid.cols * grid.rows, ShapeOf(slice.width, slice.height, config));
  return geometry;
}

absl::Status CheckPiecePatches(const PieceGeometry& geometry, int64_t patches_max) {
  int64_t largest = geometry.largest_piece_patches();
  if (largest <= patches_max) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("image of ", geometry.image_width, "x", geometry.image_height,
                                                 " pixels needs a piece of ", largest, " patches: limit ", patches_max,
                                                 " (a less extreme aspect ratio needs fewer)"));
}

}  // namespace headroom::model
