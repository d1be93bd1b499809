// Where the tokens of a sequence are, for rotary positions of one axis or three (sequence, row, column).
//
// Text counts on by one, the same on all axes. A grid that begins at number p has its row R, column C at
// (p, p + R, p + C), and what follows it counts on from p + max(rows, columns): as in GLM-4.1V.
#pragma once

#include <cstdint>
#include <span>

#include "common/status.h"
#include "llm-worker/step_batch.h"

namespace headroom::llm_worker {

// INVALID_ARGUMENT when a grid has no token, or they overlap or are not in order.
absl::Status CheckGrids(std::span<const TokenGrid> grids);

// The positions of the sequence's rows in this step, [rows, axes]: the first of `positions`. With one axis a token's
// position is its number in the sequence, whatever grids there are. CheckGrids holds. axes: 1 or 3.
void PlacePositions(const StepSequence& sequence, int64_t axes, std::span<int32_t> positions);

}  // namespace headroom::llm_worker
