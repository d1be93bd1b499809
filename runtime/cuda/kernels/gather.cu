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

// y += the weighted sum of `taps` rows of the table.
template <int kValues, typename In>
__global__ void __launch_bounds__(kThreads)
    AddWeighted(const int32_t* index, const float* weights, int64_t taps, const In* table, int64_t table_stride,
                float* y, int64_t y_stride, int64_t rows, int64_t cols) {
  const int64_t col = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * kValues;
  if (col >= cols) return;
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    float* const out = y + row * y_stride + col;
    Values<kValues> sum = Load<kValues>(out);
#pragma unroll 1
    for (int64_t tap = row * taps; tap < (row + 1) * taps; ++tap) {
      const Values<kValues> v = Load<kValues>(table + index[tap] * table_stride + col);
#pragma unroll
      for (int i = 0; i < kValues; ++i) sum.at[i] += weights[tap] * v.at[i];
    }
    Store<kValues>(out, sum);
  }
}

// A block takes a row of y; its threads write neighbouring values.
template <typename Out>
__global__ void __launch_bounds__(kThreads)
    JoinRows(const float* x, int64_t x_stride, int64_t group, Out* y, int64_t y_stride, int64_t cols) {
  const float* const rows = x + blockIdx.x * group * x_stride;
  Out* const out = y + blockIdx.x * y_stride;
  for (int64_t col = threadIdx.x; col < cols; col += kThreads) {
    Store<1>(out + col, Load<1>(rows + col % group * x_stride + col / group));
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

cudaError_t LaunchAddWeighted(const Grid& grid, const int32_t* index, const float* weights, int64_t taps,
                              const RowsIn& table, const RowsOut& y) {
  if (y.rows == 0) return cudaSuccess;
  const bool by_four = ByFour(table) && ByFour(y);
  const dim3 blocks(static_cast<unsigned>(DivideUp(y.cols, int64_t{kThreads} * (by_four ? 4 : 1))),
                    static_cast<unsigned>(Least(y.rows, kGridYMax)));
  return WithType(table.bf16, [&]<typename In>(In) {
    const auto kernel = by_four ? AddWeighted<4, In> : AddWeighted<1, In>;
    kernel<<<blocks, kThreads, 0, grid.stream>>>(index, weights, taps, static_cast<const In*>(table.data), table.stride,
                                                 static_cast<float*>(y.data), y.stride, y.rows, y.cols);
    return cudaGetLastError();
  });
}

cudaError_t LaunchJoinRows(const Grid& grid, const RowsIn& x, const RowsOut& y) {
  if (y.rows == 0) return cudaSuccess;
  return WithType(y.bf16, [&]<typename Out>(Out) {
    JoinRows<<<static_cast<unsigned>(y.rows), kThreads, 0, grid.stream>>>(
        static_cast<const float*>(x.data), x.stride, y.cols / x.cols, static_cast<Out*>(y.data), y.stride, y.cols);
    return cudaGetLastError();
  });
}

}  // namespace headroom::runtime::cuda
