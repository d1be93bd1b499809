// From a decoded picture to the pieces that pass through the vision tower, as in MiniCPM-V 2.6.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "model/image/pieces.h"
#include "vision-worker/image/rgb_image.h"

namespace headroom::vision_worker {

// The resized pixels of one piece.
struct PiecePixels {
  model::PatchGrid grid;
  int patch_size = 0;
  std::vector<uint8_t> rgb;  // [grid.rows·patch_size, grid.cols·patch_size, 3]
};

// Per-channel normalisation from preprocessor_config.json: (x / 255 − mean) / std in float32. std is not 0.
struct PixelNorm {
  std::array<float, 3> mean = {0.5f, 0.5f, 0.5f};
  std::array<float, 3> std = {0.5f, 0.5f, 0.5f};
};

// All pieces in geometry order (overview, then slices row by row). INVALID_ARGUMENT when the picture is not of the
// geometry's width × height at 1/shrink. Thread-safe. Besides the picture it holds the result, the resized picture that
// slices are cut from, and the scratch of one resize (resize.h): below 24 MiB with the published slice_config.
absl::StatusOr<std::vector<PiecePixels>> CutPieces(const RgbImage& image, const model::PieceGeometry& geometry);

// Writes the normalised patches of a piece as a row-major matrix [patches, 3·patch_size²], patches in row-major order,
// columns in the order (channel, y, x): a product with the convolution weight [hidden, 3·patch_size²] embeds them.
void WritePatchMatrix(const PiecePixels& piece, const PixelNorm& norm, float* matrix);

// How the patches of a picture that is resized to a grid follow one another: blocks of merge × merge patches row by
// row, row-major inside a block; a patch has so many frames, all the same picture.
struct GridPatches {
  int merge = 1;
  int frames = 1;
};

// The place of the patch in `row` and `col` of a grid of `cols`, when its blocks of merge × merge follow one another.
int64_t PlaceInBlocks(int64_t row, int64_t col, int64_t cols, int64_t merge);

// Writes the normalised patches of a piece as a row-major matrix [patches, 3·frames·patch_size²], columns in the order
// (channel, frame, y, x). The grid's sides are multiples of merge.
void WriteGridMatrix(const PiecePixels& piece, const PixelNorm& norm, const GridPatches& order, float* matrix);

// The 8-bit pixels in the layout of the published processor: [3, patch_size, patch_size·patches], patches side by side.
// Golden data holds hashes of it.
std::vector<uint8_t> PieceStrip(const PiecePixels& piece);

}  // namespace headroom::vision_worker
