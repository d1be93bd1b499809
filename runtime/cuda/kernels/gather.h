// Rows picked out of a table (runtime/ops/gather.h). Returns what its launch answered.
#pragma once

#include "runtime/cuda/kernels/grid.h"

namespace headroom::runtime::cuda {

// y[m] = table[index[m]], or y[m] += table[index[m]].
cudaError_t LaunchGather(const Grid& grid, const int32_t* index, const RowsIn& table, bool add, const RowsOut& y);

}  // namespace headroom::runtime::cuda
