// Where the patches of a picture lie that was resized to a grid, in the order in which they pass through the tower:
// blocks of merge × merge patches row by row, row-major inside a block.
#pragma once

#include <cstdint>
#include <span>

#include "model/image/pieces.h"

namespace headroom::vision_worker {

// Rows of the position table that a patch's position is made of: 4 × 4 of them by Keys' cubic kernel, A = −0.75, or
// 2 × 2 of them.
inline constexpr int64_t kBicubicTaps = 16;
inline constexpr int64_t kBilinearTaps = 4;

// (row, column) of each patch, [patches, 2]. The grid's sides are multiples of merge.
void GridPlaces(const model::PatchGrid& grid, int64_t merge, std::span<int32_t> places);

// A table of side × side rows, interpolated to the grid as torch samples it (bicubic, border, corners not
// aligned): for each patch of `places` the rows of the table, row-major, and their weights, both [patches, 16].
void BicubicTaps(const model::PatchGrid& grid, int64_t side, std::span<const int32_t> places, std::span<int32_t> index,
                 std::span<float> weights);

// The same bilinearly, both [patches, 4], of a table that begins at row `first`. As HunyuanOCR's released code has it,
// n patches lie over the table as if they were n + 0.1, but for a side of just as many as the table has.
void BilinearTaps(const model::PatchGrid& grid, int64_t side, int64_t first, std::span<const int32_t> places,
                  std::span<int32_t> index, std::span<float> weights);

}  // namespace headroom::vision_worker
