#include "llm-worker/rotary_positions.h"

#include <algorithm>

#include "common/check.h"

namespace headroom::llm_worker {
namespace {

using Grids = std::span<const TokenGrid>;

bool Holds(Grids::iterator grid, Grids grids, int64_t token) { return grid != grids.end() && token >= grid->begin; }

void PlaceInSequence(const StepSequence& sequence, std::span<int32_t> positions) {
  auto grid = sequence.grids.begin();
  int64_t saved = 0;  // tokens less numbers, of the grids that are over
  for (int64_t i = 0; i < sequence.rows; ++i) {
    const int64_t token = sequence.cached + i;
    for (; grid != sequence.grids.end() && token >= grid->begin + grid->tokens(); ++grid) {
      saved += grid->tokens() - std::max(grid->rows, grid->cols);
    }
    const bool in_grid = Holds(grid, sequence.grids, token);
    const int64_t inside = in_grid ? token - grid->begin : 0, first = token - inside - saved;
    const auto at = static_cast<size_t>(3 * i);
    positions[at] = static_cast<int32_t>(first);
    positions[at + 1] = static_cast<int32_t>(first + (in_grid ? inside / grid->cols : 0));
    positions[at + 2] = static_cast<int32_t>(first + (in_grid ? inside % grid->cols : 0));
  }
}

// `own`: the token's number is an axis, too.
void PlaceInPictures(const StepSequence& sequence, bool own, std::span<int32_t> positions) {
  auto grid = sequence.grids.begin();
  size_t next = 0;
  for (int64_t i = 0; i < sequence.rows; ++i) {
    const int64_t token = sequence.cached + i;
    while (grid != sequence.grids.end() && token >= grid->begin + grid->tokens()) ++grid;
    int64_t column = token, row = token, picture = token;
    if (Holds(grid, sequence.grids, token)) {
      const int64_t inside = token - grid->begin;
      column = inside % grid->cols, row = inside / grid->cols, picture = grid - sequence.grids.begin();
    }
    if (own) positions[next++] = static_cast<int32_t>(token);
    for (const int64_t place : {column, row, picture}) positions[next++] = static_cast<int32_t>(place);
  }
}

}  // namespace

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

void PlacePositions(const StepSequence& sequence, const model::Rope& rope, std::span<int32_t> positions) {
  const int64_t axes = rope.axes();
  const bool in_pictures = rope.kind == model::RopeAxes::kTokenColumnRowPicture;
  if (axes == 1) {
    for (int64_t i = 0; i < sequence.rows; ++i) {
      positions[static_cast<size_t>(i)] = static_cast<int32_t>(sequence.cached + i);
    }
    return;
  }
  HEADROOM_CHECK(axes == 3 || (in_pictures && axes == 4)) << axes << " axes";
  if (in_pictures) {
    PlaceInPictures(sequence, axes == 4, positions);
  } else {
    PlaceInSequence(sequence, positions);
  }
}

}  // namespace headroom::llm_worker
