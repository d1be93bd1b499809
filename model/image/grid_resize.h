// Geometry of pictures that are resized as a whole to a grid of patches near their own size, as the published processor
// of GLM-4.1V does it ("smart resize"): one piece a picture, as many tokens as its size says.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "model/image/pieces.h"

namespace headroom::model {

// From preprocessor_config.json and config.json. Pixels are counted as the processor does, over all frames of a patch.
struct GridResize {
  int patch_size = 14;                    // pixels a side, 1 … 256
  int merge = 2;                          // patches a side of what becomes a token, 1 … 16
  int frames = 2;                         // of a patch: a picture fills them all with itself, 1 … 16
  int64_t pixels_min = 112 * 112;         // shortest_edge, 1 … pixels_max
  int64_t pixels_max = 28 * 28 * 15'000;  // longest_edge, up to 2^34

  int unit() const { return patch_size * merge; }
  int64_t patch_values() const { return int64_t{3} * frames * patch_size * patch_size; }
  // Of a grid of patches: merge × merge patches each.
  int64_t TokensOf(const PatchGrid& grid) const { return grid.patches() / (int64_t{merge} * merge); }
};

inline constexpr int kGridAspectMax = 200;

// One piece, whose sides are multiples of merge patches. IEEE double, int() truncates, round() sends ties to the even
// integer. INVALID_ARGUMENT for sides outside 1 … kImageSideLimit, a long side above kGridAspectMax times the short
// one, and a config outside the ranges above. Pure.
absl::StatusOr<PieceGeometry> ResizeToGrid(int width, int height, const GridResize& config);

}  // namespace headroom::model
