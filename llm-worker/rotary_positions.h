// Where the tokens of a sequence are, for rotary positions of one axis or several. Text counts on by one, on all axes
// alike. A token of a grid, in row R and column C, is at
//
//   (p, p + R, p + C) where the grid begins at number p; what follows counts on from p + max(rows, columns) (GLM-4.1V)
//   (its own number, C, R, number of the grid), or without the first; what follows counts on with it (HunyuanOCR)
#pragma once

#include <cstdint>
#include <span>

#include "common/status.h"
#include "llm-worker/step_batch.h"
#include "model/rope.h"

namespace headroom::llm_worker {

// INVALID_ARGUMENT when a grid has no token, or they overlap or are not in order.
absl::Status CheckGrids(std::span<const TokenGrid> grids);

// The positions of the sequence's rows in this step, [rows, axes of `rope`]: the first of `positions`. With one axis a
// token's position is its number in the sequence, whatever grids there are. CheckGrids holds.
void PlacePositions(const StepSequence& sequence, const model::Rope& rope, std::span<int32_t> positions);

}  // namespace headroom::llm_worker
