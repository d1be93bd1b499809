// Geometry of pictures that are resized as a whole to a grid of patches near their own size, as the published
// processors of GLM-4.1V and HunyuanOCR do it ("smart resize"): one piece a picture, as many rows as its size says.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "model/image/pieces.h"

namespace headroom::model {

inline constexpr int kGridAspectMax = 200;  // of a picture's long side to its short one

// From preprocessor_config.json and config.json. Pixels are counted as the processor does, over all frames of a patch.
struct GridResize {
  int patch_size = 14;                    // pixels a side, 1 … 256
  int merge = 2;                          // patches a side of what becomes a token, 1 … 16
  int frames = 2;                         // of a patch: a picture fills them all with itself, 1 … 16
  int64_t pixels_min = 112 * 112;         // shortest_edge, 1 … pixels_max
  int64_t pixels_max = 28 * 28 * 15'000;  // longest_edge, up to 2^34
  // A side shorter than a token is first enlarged to it, and the other with it (GLM-4.1V); else the bounds on pixels
  // see to it that no side becomes 0 (HunyuanOCR).
  bool enlarges = true;
  int line_rows = 0;  // for the llm, behind each line of tokens: 0 or 1
  int end_rows = 0;   // around all, half of them before: 0 or 2

  int unit() const { return patch_size * merge; }
  int64_t patch_values() const { return int64_t{3} * frames * patch_size * patch_size; }
  RowRule row_rule() const { return {.queries = 0, .merge_side = merge, .line_rows = line_rows, .end_rows = end_rows}; }
  // Of any picture. Bounds on pixels that are small beside the longest aspect ratio are passed.
  int64_t TokensMax() const;
  int64_t RowsMax() const;
  // About: a picture that shrinks may end below.
  int64_t PatchesMin() const { return pixels_min / (int64_t{frames} * patch_size * patch_size); }
};

// One piece, whose sides are multiples of merge patches. IEEE double, int() truncates, round() sends ties to the even
// integer. INVALID_ARGUMENT for sides outside 1 … kImageSideLimit, a long side above kGridAspectMax times the short
// one, and a config outside the ranges above. Pure.
absl::StatusOr<PieceGeometry> ResizeToGrid(int width, int height, const GridResize& config);

}  // namespace headroom::model
