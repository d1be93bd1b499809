#include "vision-worker/image/cut.h"

#include <algorithm>
#include <cstring>

#include "common/status.h"
#include "model/image/host_bytes.h"
#include "vision-worker/image/resize.h"

namespace headroom::vision_worker {
namespace {

PiecePixels EmptyPiece(const model::PatchGrid& grid, int patch_size) {
  PiecePixels piece{grid, patch_size, {}};
  piece.rgb.resize(static_cast<size_t>(grid.patches()) * 3 * patch_size * patch_size);
  return piece;
}

// Calls visit(patch, y, x, rgb) for the pixels of every patch; rgb points at the three bytes of pixel (y, x) inside the
// patch.
template <typename Visit>
void ForEachPixel(const PiecePixels& piece, Visit visit) {
  const int64_t side = piece.patch_size;
  const int64_t width = piece.grid.cols * side;
  for (int64_t patch = 0; patch < piece.grid.patches(); ++patch) {
    const int64_t top = patch / piece.grid.cols * side;
    const int64_t left = patch % piece.grid.cols * side;
    for (int64_t y = 0; y < side; ++y) {
      const uint8_t* rgb = piece.rgb.data() + ((top + y) * width + left) * 3;
      for (int64_t x = 0; x < side; ++x) visit(patch, y, x, rgb + x * 3);
    }
  }
}

int64_t SheetBytes(const model::PieceGeometry& geometry) {
  return int64_t{geometry.slice_width} * geometry.grid_cols * geometry.slice_height * geometry.grid_rows * 3;
}

}  // namespace

absl::StatusOr<std::vector<PiecePixels>> CutPieces(const RgbImage& image, const model::PieceGeometry& geometry) {
  if (image.width != model::ShrunkSide(geometry.image_width, image.shrink) ||
      image.height != model::ShrunkSide(geometry.image_height, image.shrink)) {
    return absl::InvalidArgumentError(absl::StrCat("decoded image is ", image.width, "x", image.height, " pixels, not ",
                                                   geometry.image_width, "x", geometry.image_height, " as priced",
                                                   image.shrink == 1 ? "" : absl::StrCat(" at 1/", image.shrink)));
  }
  std::vector<PiecePixels> pieces;
  pieces.reserve(geometry.pieces.size());
  pieces.push_back(EmptyPiece(geometry.pieces[0].grid, geometry.patch_size));
  ResizeBicubic(image.pixels.get(), image.width, image.height, pieces[0].rgb.data(), geometry.overview_width,
                geometry.overview_height);
  if (!geometry.sliced()) return pieces;

  const int sheet_width = geometry.slice_width * geometry.grid_cols;
  const int sheet_height = geometry.slice_height * geometry.grid_rows;
  std::vector<uint8_t> sheet(static_cast<size_t>(SheetBytes(geometry)));
  ResizeBicubic(image.pixels.get(), image.width, image.height, sheet.data(), sheet_width, sheet_height);
  const size_t row_bytes = static_cast<size_t>(geometry.slice_width) * 3;
  for (int row = 0; row < geometry.grid_rows; ++row) {
    for (int col = 0; col < geometry.grid_cols; ++col) {
      PiecePixels piece = EmptyPiece(geometry.pieces[pieces.size()].grid, geometry.patch_size);
      for (int y = 0; y < geometry.slice_height; ++y) {
        const size_t from = (static_cast<size_t>(row) * geometry.slice_height + y) * geometry.grid_cols + col;
        std::memcpy(piece.rgb.data() + y * row_bytes, sheet.data() + from * row_bytes, row_bytes);
      }
      pieces.push_back(std::move(piece));
    }
  }
  return pieces;
}

void WritePatchMatrix(const PiecePixels& piece, const PixelNorm& norm, float* matrix) {
  float table[3][256];
  for (int channel = 0; channel < 3; ++channel) {
    for (int value = 0; value < 256; ++value) {
      table[channel][value] = (static_cast<float>(value) / 255.0f - norm.mean[channel]) / norm.std[channel];
    }
  }
  const int64_t side = piece.patch_size;
  const int64_t plane = side * side;
  ForEachPixel(piece, [&](int64_t patch, int64_t y, int64_t x, const uint8_t* rgb) {
    float* out = matrix + patch * 3 * plane + y * side + x;
    for (int channel = 0; channel < 3; ++channel) out[channel * plane] = table[channel][rgb[channel]];
  });
}

int64_t PlaceInBlocks(int64_t row, int64_t col, int64_t cols, int64_t merge) {
  const int64_t block = row / merge * (cols / merge) + col / merge;
  return block * merge * merge + row % merge * merge + col % merge;
}

void WriteGridMatrix(const PiecePixels& piece, const PixelNorm& norm, const GridPatches& order, float* matrix) {
  float table[3][256];
  for (int channel = 0; channel < 3; ++channel) {
    for (int value = 0; value < 256; ++value) {
      const auto rescaled = static_cast<float>(value * (1.0 / 255));  // as the published processor: not value / 255
      table[channel][value] = (rescaled - norm.mean[channel]) / norm.std[channel];
    }
  }
  const int64_t side = piece.patch_size, plane = side * side, cols = piece.grid.cols, merge = order.merge;
  ForEachPixel(piece, [&](int64_t patch, int64_t y, int64_t x, const uint8_t* rgb) {
    const int64_t place = PlaceInBlocks(patch / cols, patch % cols, cols, merge);
    float* out = matrix + place * 3 * order.frames * plane + y * side + x;
    for (int channel = 0; channel < 3; ++channel) {
      for (int frame = 0; frame < order.frames; ++frame) {
        out[(channel * order.frames + frame) * plane] = table[channel][rgb[channel]];
      }
    }
  });
}

std::vector<uint8_t> PieceStrip(const PiecePixels& piece) {
  const int64_t side = piece.patch_size;
  const int64_t width = piece.grid.patches() * side;
  std::vector<uint8_t> strip(static_cast<size_t>(3 * side * width));
  ForEachPixel(piece, [&](int64_t patch, int64_t y, int64_t x, const uint8_t* rgb) {
    for (int64_t channel = 0; channel < 3; ++channel)
      strip[(channel * side + y) * width + patch * side + x] = rgb[channel];
  });
  return strip;
}

}  // namespace headroom::vision_worker
