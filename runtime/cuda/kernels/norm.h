// Norms over rows (runtime/ops/norm.h). Each returns what its launch answered.
#pragma once

#include "runtime/cuda/kernels/grid.h"

namespace headroom::runtime::cuda {

// bias may be null.
cudaError_t LaunchLayerNorm(const Grid& grid, const RowsIn& x, const float* gain, const float* bias, float eps,
                            const RowsOut& y);
// groups: at most 65,535 parts of a row.
cudaError_t LaunchRmsNorm(const Grid& grid, const RowsIn& x, const float* gain, float eps, int64_t groups,
                          bool accumulate, const RowsOut& y);

}  // namespace headroom::runtime::cuda
