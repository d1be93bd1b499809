#include "runtime/cuda/kernels/gather.h"
#include "runtime/cuda/kernels/values.cuh"

namespace headroom::runtime::cuda {
namespace {

constexpr int kThreads = 256;

// Blocks in x share a row, blocks in y take rows in turn.
template <int kValues, bool kAdd, typename In>
__global__ void __launch_bounds__(kThreads) Gather(const int32_t* index, const In* table, int64_t table_stride,
                                                   float* y, int64_t y_stride, int64_t rows, int64_t cols) {
  const int64_t col = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * kValues;
  if (col >= cols) return;
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    Values<kValues> v = Load<kValues>(table + index[row] * table_stride + col);
    float* const out = y + row * y_stride + col;
    if constexpr (kAdd) {
      const Values<kValues> before = Load<kValues>(out);
#pragma unroll
      for (int i = 0; i < kValues; ++i) v.at[i] += before.at[i];
    }
    Store<kValues>(out, v);
  }
}

}  // namespace

cudaError_t LaunchGather(const Grid& grid, const int32_t* index, const RowsIn& table, bool add, const RowsOut& y) {
  if (y.rows == 0) return cudaSuccess;
  const bool by_four = ByFour(table) && ByFour(y);
  const dim3 blocks(static_cast<unsigned>(DivideUp(y.cols, int64_t{kThreads} * (by_four ? 4 : 1))),
                    static_cast<unsigned>(Least(y.rows, kGridYMax)));
  return WithType(table.bf16, [&]<typename In>(In) {
    const auto kernel = by_four ? (add ? Gather<4, true, In> : Gather<4, false, In>)
                                : (add ? Gather<1, true, In> : Gather<1, false, In>);
    kernel<<<blocks, kThreads, 0, grid.stream>>>(index, static_cast<const In*>(table.data), table.stride,
                                                 static_cast<float*>(y.data), y.stride, y.rows, y.cols);
    return cudaGetLastError();
  });
}

}  // namespace headroom::runtime::cuda
