// Products that cuBLASLt does not take. Returns what its launch answered.
#pragma once

#include "runtime/cuda/kernels/grid.h"

namespace headroom::runtime::cuda {

// y[M,N] f32 (+)= x[M,K] · Wᵀ (+ bias), W [N,K], or [K,N] when weight_is_kn; x and W of one type, bias may be null.
cudaError_t LaunchProduct(const Grid& grid, const RowsIn& x, const RowsIn& weight, bool weight_is_kn, const float* bias,
                          bool accumulate, const RowsOut& y);

}  // namespace headroom::runtime::cuda
