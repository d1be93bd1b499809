#include "model/image/host_bytes.h"

#include <algorithm>

namespace headroom::model {
namespace {

// As Pillow holds it by default when it makes small copies: from there on the result hardly differs.
constexpr int64_t kGap = 2;

}  // namespace

int DecodeShrink(ImageFormat format, const PieceGeometry& geometry) {
  if (format != ImageFormat::kJpeg || int64_t{geometry.image_width} * geometry.image_height <= kWholeDecodePixelsMax) {
    return 1;
  }
  const int64_t width = std::max(geometry.overview_width, geometry.grid_cols * geometry.slice_width);
  const int64_t height = std::max(geometry.overview_height, geometry.grid_rows * geometry.slice_height);
  int shrink = 8;
  while (shrink > 1 && (ShrunkSide(geometry.image_width, shrink) < kGap * width ||
                        ShrunkSide(geometry.image_height, shrink) < kGap * height)) {
    shrink /= 2;
  }
  return shrink;
}

int64_t DecodedHostBytes(ImageFormat format, const PieceGeometry& geometry) {
  const int shrink = DecodeShrink(format, geometry);
  const int64_t pixels = int64_t{ShrunkSide(geometry.image_width, shrink)} * ShrunkSide(geometry.image_height, shrink);
  return 3 * pixels + 2 * geometry.total_patches() * 3 * geometry.patch_size * geometry.patch_size;
}

}  // namespace headroom::model
