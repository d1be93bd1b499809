#include "model/image/picture_rule.h"

namespace headroom::model {

absl::StatusOr<PieceGeometry> PiecesOf(int width, int height, const PictureRule& rule) {
  if (const auto* grid = std::get_if<GridResize>(&rule)) return ResizeToGrid(width, height, *grid);
  return ComputePieces(width, height, std::get<SliceConfig>(rule));
}

int SlicesMax(const PictureRule& rule) {
  const auto* slices = std::get_if<SliceConfig>(&rule);
  return slices == nullptr ? 0 : slices->max_slice_nums;
}

void LimitSlices(int slices_max, PictureRule& rule) {
  if (auto* slices = std::get_if<SliceConfig>(&rule)) slices->max_slice_nums = slices_max;
}

}  // namespace headroom::model
