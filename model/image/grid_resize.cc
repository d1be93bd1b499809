#include "model/image/grid_resize.h"

#include <algorithm>
#include <cmath>

#include "common/range.h"
#include "common/status.h"

namespace headroom::model {
namespace {

// Python's round(): ties go to the even integer, as in the mode that every process starts with.
int64_t RoundHalfEven(double value) { return static_cast<int64_t>(std::nearbyint(value)); }

// For each number of columns the most lines that a picture gets which keeps its size, shrinks or grows. A wide picture
// has as many tokens as the tall one on its side, and no more lines.
int64_t MostRows(const GridResize& config, const RowRule& rule) {
  const double token = static_cast<double>(config.frames) * config.unit() * config.unit();  // pixels
  const double most = static_cast<double>(config.pixels_max) / token;
  const double least = static_cast<double>(config.pixels_min) / token;
  const auto narrowest = [](double tokens) { return std::sqrt(tokens / kGridAspectMax); };  // columns, not rounded
  int64_t rows = 1;
  for (int cols = 1; cols <= 1 + static_cast<int>(std::sqrt(most)); ++cols) {
    const double kept = std::min(kGridAspectMax * (cols + 0.5) + 0.5, most / cols);
    const double shrunk = most / (cols == 1 ? narrowest(most) : std::max<double>(cols, narrowest(most)));  // 1 at least
    const double grown = std::ceil(least / std::max<double>(cols - 1, narrowest(least)));
    const int lines = std::max(1, static_cast<int>(std::max({kept, shrunk, grown})));
    rows = std::max(rows, rule.Rows({lines * config.merge, cols * config.merge}));
  }
  return rows;
}

}  // namespace

absl::StatusOr<PieceGeometry> ResizeToGrid(int width, int height, const GridResize& config) {
  constexpr int64_t kPixelsMax = int64_t{1} << 34;
  HEADROOM_RETURN_IF_ERROR(CheckRange("image width", width, 1, kImageSideLimit));
  HEADROOM_RETURN_IF_ERROR(CheckRange("image height", height, 1, kImageSideLimit));
  HEADROOM_RETURN_IF_ERROR(CheckRange("patch_size", config.patch_size, 1, 256));
  HEADROOM_RETURN_IF_ERROR(CheckRange("merge_size", config.merge, 1, 16));
  HEADROOM_RETURN_IF_ERROR(CheckRange("temporal_patch_size", config.frames, 1, 16));
  HEADROOM_RETURN_IF_ERROR(CheckRange("longest_edge", config.pixels_max, 1, kPixelsMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("shortest_edge", config.pixels_min, 1, config.pixels_max));
  const int64_t unit = config.unit(), frames = config.frames;
  const auto unit_f = static_cast<double>(unit);
  double h = height, w = width;
  if (config.enlarges && (height < unit || width < unit)) {
    const double scale = std::max(unit_f / h, unit_f / w);
    h = std::trunc(h * scale);
    w = std::trunc(w * scale);
  }
  if (std::max(h, w) / std::min(h, w) > kGridAspectMax) {
    return absl::InvalidArgumentError(absl::StrCat("image of ", width, "x", height,
                                                   " pixels: the long side must be at most ", kGridAspectMax,
                                                   " times the short one"));
  }
  int64_t rows = RoundHalfEven(h / unit_f), cols = RoundHalfEven(w / unit_f);  // of merged patches
  const int64_t pixels = frames * rows * cols * unit * unit;
  const double all = static_cast<double>(frames) * h * w;
  if (pixels > config.pixels_max) {
    const double shrink = std::sqrt(all / static_cast<double>(config.pixels_max));
    rows = std::max<int64_t>(1, static_cast<int64_t>(std::floor(h / shrink / unit_f)));
    cols = std::max<int64_t>(1, static_cast<int64_t>(std::floor(w / shrink / unit_f)));
  } else if (pixels < config.pixels_min) {
    const double grow = std::sqrt(static_cast<double>(config.pixels_min) / all);
    rows = static_cast<int64_t>(std::ceil(h * grow / unit_f));
    cols = static_cast<int64_t>(std::ceil(w * grow / unit_f));
  }
  PieceGeometry geometry;
  geometry.image_width = width;
  geometry.image_height = height;
  geometry.patch_size = config.patch_size;
  geometry.overview_width = static_cast<int>(cols * unit);
  geometry.overview_height = static_cast<int>(rows * unit);
  const PatchGrid grid{static_cast<int>(rows * config.merge), static_cast<int>(cols * config.merge)};
  geometry.pieces.push_back({.grid = grid, .rows = config.row_rule().Rows(grid), .columns = cols + config.line_rows});
  return geometry;
}

int64_t GridResize::TokensMax() const { return MostRows(*this, {.queries = 0, .merge_side = merge}); }

int64_t GridResize::RowsMax() const { return MostRows(*this, row_rule()); }

}  // namespace headroom::model
