// Sine tables (runtime/ops/positions.h). Returns what its launch answered.
#pragma once

#include "runtime/cuda/kernels/grid.h"

namespace headroom::runtime::cuda {

cudaError_t LaunchSineTable(const Grid& grid, const RowsOut& table);

}  // namespace headroom::runtime::cuda
