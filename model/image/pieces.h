// Piece geometry of MiniCPM-V 2.6: which pieces a picture of width × height becomes, and how many tokens they are.
// Everything that admission must know about an image follows from here, before a pixel is decoded.
//
// The arithmetic is that of the published image processor: IEEE double, int() truncates, round() sends ties to the even
// integer, the grid search keeps the first of equals. Pixel sizes are width first, patch grids (tgt_size) are rows
// first.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace headroom::model {

// From preprocessor_config.json and config.json; max_slice_nums may be replaced per request.
struct SliceConfig {
  int max_slice_nums = 9;      // 1 … kMaxSliceNumsLimit
  int scale_resolution = 448;  // pixels, 1 … 8192: a piece has about scale_resolution² pixels
  int patch_size = 14;         // pixels, 1 … scale_resolution
};

inline constexpr int kMaxSliceNumsLimit = 256;
inline constexpr int kImageSideLimit = 65535;

// Patch grid of one piece.
struct PatchGrid {
  int rows = 0;
  int cols = 0;

  int64_t patches() const { return int64_t{rows} * cols; }
  bool operator==(const PatchGrid&) const = default;
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
  std::vector<PatchGrid> pieces;

  bool sliced() const { return grid_cols > 0; }
  int64_t total_patches() const;
  int64_t largest_piece_patches() const;
};

// INVALID_ARGUMENT for sides outside 1 … kImageSideLimit and for a config outside the ranges above. Pure.
absl::StatusOr<PieceGeometry> ComputePieces(int width, int height, const SliceConfig& config);

// INVALID_ARGUMENT when a piece has more than `patches_max` patches (the knob max_patches_per_step): only extreme
// aspect ratios do.
absl::Status CheckPiecePatches(const PieceGeometry& geometry, int64_t patches_max);

}  // namespace headroom::model
