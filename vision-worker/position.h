// Where a patch lies in its picture, as the two position tables of MiniCPM-V 2.6 see it.
//
// The tower learned a table of side × side rows (70 × 70): the row of a patch is found from its place as a fraction of
// the picture. The resampler adds sines and cosines of the patch's own row and column, without an upper limit.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace headroom::vision_worker {

// Table row (or column) of each of the n patches along one side of a piece: the number of boundaries j/side that are ≤
// i/n, where both are float32 as the published code computes them on x86. In exact arithmetic that is floor(side·i/n);
// rounding moves some patches down by one (n = 25: patches 5, 10, 15, 20), and a model that was trained with that
// should be served with it. n ≥ 1, side ≥ 1; where n > side several patches share a row.
std::vector<int32_t> PositionBuckets(int64_t n, int64_t side);

// Row of the side² table for each patch of a rows × cols piece, patches row by row. index.size() = rows · cols.
void PositionIndex(int64_t rows, int64_t cols, int64_t side, std::span<int32_t> index);

// Row and column of each patch of a rows × cols piece, patches row by row; both of rows · cols elements. The
// resampler's position of the patch at (r, c) is row c followed by row r of a sine table (runtime/ops/positions.h) of
// half the model's width.
void PatchPlaces(int64_t rows, int64_t cols, std::span<int32_t> row, std::span<int32_t> column);

}  // namespace headroom::vision_worker
