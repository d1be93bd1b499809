#include "llm-worker/rotary_positions.h"

#include <algorithm>

#include "common/check.h"

namespace headroom::llm_worker {

absl::Status CheckGrids(std::span<const TokenGrid> grids) {
  int64_t end = 0;
  for (const TokenGrid& grid : grids) {
    if (grid.rows < 1 || grid.cols < 1 || grid.begin < end) {
      return absl::InvalidArgumentError(
          absl::StrCat("grid of ", grid.rows, " × ", grid.cols, " tokens at ", grid.begin, ", behind ", end));
    }
    end = grid.begin + grid.tokens();
  }
  return absl::OkStatus();
}

void PlacePositions(const StepSequence& sequence, int64_t axes, std::span<int32_t> positions) {
  HEADROOM_CHECK(axes == 1 || axes == 3) << axes << " axes";
  auto grid = sequence.grids.begin();
  int64_t saved = 0;  // tokens less numbers, of the grids that are over
  for (int64_t i = 0; i < sequence.rows; ++i) {
    const int64_t token = sequence.cached + i;
    const auto at = static_cast<size_t>(i * axes);
    if (axes == 1) {
      positions[at] = static_cast<int32_t>(token);
      continue;
    }
    for (; grid != sequence.grids.end() && token >= grid->begin + grid->tokens(); ++grid) {
      saved += grid->tokens() - std::max(grid->rows, grid->cols);
    }
    const bool in_grid = grid != sequence.grids.end() && token >= grid->begin;
    const int64_t inside = in_grid ? token - grid->begin : 0, first = token - inside - saved;
    positions[at] = static_cast<int32_t>(first);
    positions[at + 1] = static_cast<int32_t>(first + (in_grid ? inside / grid->cols : 0));
    positions[at + 2] = static_cast<int32_t>(first + (in_grid ? inside % grid->cols : 0));
  }
}

}  // namespace headroom::llm_worker
