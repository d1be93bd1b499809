// Piece geometry of MiniCPM-V 2.6: which pieces a picture of width × height becomes, their patches and their rows.
// Everything that admission must know about an image follows from here, before a pixel is decoded.
//
// The arithmetic is that of the published image processor: IEEE double, int() truncates, round() sends ties to the even
// integer, the grid search keeps the first of equals. Pixel sizes are width first, patch grids (tgt_size) are rows
// first.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/arith.h"

namespace headroom::model {

// Patch grid of one piece.
struct PatchGrid {
  int rows = 0;
  int cols = 0;

  int64_t patches() const { return int64_t{rows} * cols; }
  bool operator==(const PatchGrid&) const = default;
};

// How many rows for the llm a model makes of a piece. A resampler makes `queries` of any; a merger one of each square
// of merge_side² patches, and some add rows of their own: line_rows behind each line of squares, end_rows around all.
struct RowRule {
  int64_t queries = 64;  // 0: a merger
  int merge_side = 1;    // patches, ≥ 1
  int64_t line_rows = 0;
  int64_t end_rows = 0;

  // At least 1.
  constexpr int64_t Rows(const PatchGrid& grid) const {
    if (queries > 0) return queries;
    const int64_t lines = CeilDiv(grid.rows, merge_side), squares = CeilDiv(grid.cols, merge_side);
    return std::max<int64_t>(1, lines * (squares + line_rows) + end_rows);
  }
};

// From preprocessor_config.json and config.json; max_slice_nums may be replaced per request.
struct SliceConfig {
  int max_slice_nums = 9;      // 1 … kMaxSliceNumsLimit
  int scale_resolution = 448;  // pixels, 1 … 8192: a piece has about scale_resolution² pixels
  int patch_size = 14;         // pixels, 1 … scale_resolution
  RowRule rows = {};
};

inline constexpr int kMaxSliceNumsLimit = 256;
inline constexpr int kImageSideLimit = 65535;

struct PieceShape {
  PatchGrid grid;
  int64_t rows = 0;     // that the llm reads of it
  int64_t columns = 0;  // of the grid on which these lie for the llm, line by line; 0: they are a line, as text is

  bool operator==(const PieceShape&) const = default;
};

struct PieceGeometry {
  int image_width = 0;
  int image_height = 0;
  int patch_size = 0;
  // The whole picture, resized to this (pixels, multiples of patch_size).
  int overview_width = 0;
  int overview_height = 0;
  // Grid of slices; 0 × 0 when the picture is not sliced. The picture is resized a second time, from the original, to
  // grid_cols·slice_width × grid_rows·slice_height, and cut into equal boxes.
  int grid_cols = 0;
  int grid_rows = 0;
  int slice_width = 0;
  int slice_height = 0;
  // Overview first, then slices row by row, left to right.
  std::vector<PieceShape> pieces;

  bool sliced() const { return grid_cols > 0; }
  int64_t total_patches() const;
  std::vector<int64_t> piece_rows() const;
  int64_t largest_piece_patches() const;
};

// INVALID_ARGUMENT for sides outside 1 … kImageSideLimit and for a config outside the ranges above. Pure.
absl::StatusOr<PieceGeometry> ComputePieces(int width, int height, const SliceConfig& config);

// INVALID_ARGUMENT when a piece has more than `patches_max` patches (the knob max_patches_per_step): only extreme
// aspect ratios do.
absl::Status CheckPiecePatches(const PieceGeometry& geometry, int64_t patches_max);

}  // namespace headroom::model
