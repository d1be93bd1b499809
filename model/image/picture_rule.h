// Either of the ways in which models make pieces of a picture.
#pragma once

#include <cstdint>
#include <variant>

#include "absl/status/statusor.h"
#include "model/image/grid_resize.h"
#include "model/image/pieces.h"

namespace headroom::model {

// Slices beside an overview (MiniCPM-V 2.6), or the whole picture resized to a grid of patches (GLM-4.1V).
using PictureRule = std::variant<SliceConfig, GridResize>;

// ComputePieces() or ResizeToGrid().
absl::StatusOr<PieceGeometry> PiecesOf(int width, int height, const PictureRule& rule);

// The most slices of a picture; 0 where pictures are not sliced.
int SlicesMax(const PictureRule& rule);
// Another limit, 1 to kMaxSliceNumsLimit. Where pictures are not sliced any is kept.
void LimitSlices(int slices_max, PictureRule& rule);

}  // namespace headroom::model
