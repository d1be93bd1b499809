// Rows picked out of a table, and joined (runtime/ops/gather.h). Each returns what its launch answered.
#pragma once

#include "runtime/cuda/kernels/grid.h"

namespace headroom::runtime::cuda {

// y[m] = table[index[m]], or y[m] += table[index[m]].
cudaError_t LaunchGather(const Grid& grid, const int32_t* index, const RowsIn& table, bool add, const RowsOut& y);

// y[m] += Σ weights[m·taps + t] · table[index[m·taps + t]].
cudaError_t LaunchAddWeighted(const Grid& grid, const int32_t* index, const float* weights, int64_t taps,
                              const RowsIn& table, const RowsOut& y);
cudaError_t LaunchJoinRows(const Grid& grid, const RowsIn& x, const RowsOut& y);

}  // namespace headroom::runtime::cuda
