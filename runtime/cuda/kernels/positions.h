// Rotary embedding and sine tables (runtime/ops/rope.h, runtime/ops/positions.h). Each returns what its launch
// answered.
#pragma once

#include "runtime/cuda/kernels/grid.h"

namespace headroom::runtime::cuda {

// x [rows, heads · 2 · half] f32, in place; half ≤ 512.
cudaError_t LaunchRope(const Grid& grid, const RowsOut& x, const int32_t* positions, const float* inv_freq,
                       int64_t half, int64_t heads);
cudaError_t LaunchSineTable(const Grid& grid, const RowsOut& table);

}  // namespace headroom::runtime::cuda
