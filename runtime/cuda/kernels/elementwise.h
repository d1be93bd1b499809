// Activations and conversions (runtime/ops/elementwise.h). Each returns what its launch answered.
#pragma once

#include "runtime/cuda/kernels/grid.h"

namespace headroom::runtime::cuda {

// All of [rows, cols].
cudaError_t LaunchGeluTanh(const Grid& grid, const RowsIn& x, const RowsOut& y);
cudaError_t LaunchGeluErf(const Grid& grid, const RowsIn& x, const RowsOut& y);
// up lies beside gate, in the same rows.
cudaError_t LaunchSiluMul(const Grid& grid, const RowsIn& gate, const RowsIn& up, const RowsOut& y);
cudaError_t LaunchConvert(const Grid& grid, const RowsIn& x, const RowsOut& y);
// found[rows / group].
cudaError_t LaunchFindNonFinite(const Grid& grid, const RowsIn& x, int64_t group, int32_t* found);

}  // namespace headroom::runtime::cuda
