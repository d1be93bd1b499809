#include "runtime/cuda/kernels/norm.h"
#include "runtime/cuda/kernels/reduce.cuh"
#include "runtime/cuda/kernels/values.cuh"

namespace headroom::runtime::cuda {
namespace {

constexpr int kThreadsMax = 512;

// A block takes a row (RmsNorm: a group of a row) and reads it once for each statistic and once for the result: from a
// cache but for the first time. y may be x: each thread writes the values that it alone reads.
template <int kValues, typename Function>
__device__ float SumOver(const float* row, int64_t cols, const Function& function, float* partial) {
  float sum = 0;
  for (int64_t col = int64_t{threadIdx.x} * kValues; col < cols; col += int64_t{blockDim.x} * kValues) {
    const Values<kValues> v = Load<kValues>(row + col);
#pragma unroll
    for (const float value : v.at) sum += function(value);
  }
  return BlockSum(sum, partial);
}

template <int kValues, typename Out>
__global__ void __launch_bounds__(kThreadsMax)
    LayerNorm(const float* x, int64_t x_stride, const float* gain, const float* bias, float eps, Out* y,
              int64_t y_stride, int64_t cols) {
  __shared__ float for_mean[32], for_variance[32];
  const float* const row = x + blockIdx.x * x_stride;
  Out* const out = y + blockIdx.x * y_stride;
  const auto count = static_cast<float>(cols);
  const float mean = SumOver<kValues>(
                         row, cols, [](float v) { return v; }, for_mean) /
                     count;
  const auto square = [mean](float v) { return (v - mean) * (v - mean); };
  const float scale = 1.0f / sqrtf(SumOver<kValues>(row, cols, square, for_variance) / count + eps);
  for (int64_t col = int64_t{threadIdx.x} * kValues; col < cols; col += int64_t{blockDim.x} * kValues) {
    Values<kValues> v = Load<kValues>(row + col);
    const Values<kValues> g = Load<kValues>(gain + col);
    const Values<kValues> b = bias != nullptr ? Load<kValues>(bias + col) : Values<kValues>{};
#pragma unroll
    for (int i = 0; i < kValues; ++i) v.at[i] = (v.at[i] - mean) * scale * g.at[i] + b.at[i];
    Store<kValues>(out + col, v);
  }
}

template <int kValues, typename Out>
__global__ void __launch_bounds__(kThreadsMax) RmsNorm(const float* x, int64_t x_stride, const float* gain, float eps,
                                                       bool accumulate, Out* y, int64_t y_stride, int64_t cols) {
  __shared__ float for_squares[32];
  const int64_t group = blockIdx.y * cols;
  const float* const row = x + (blockIdx.x * x_stride + group);
  Out* const out = y + (blockIdx.x * y_stride + group);
  const float squares = SumOver<kValues>(
      row, cols, [](float v) { return v * v; }, for_squares);
  const float scale = 1.0f / sqrtf(squares / static_cast<float>(cols) + eps);
  for (int64_t col = int64_t{threadIdx.x} * kValues; col < cols; col += int64_t{blockDim.x} * kValues) {
    Values<kValues> v = Load<kValues>(row + col);
    const Values<kValues> g = Load<kValues>(gain + col);
#pragma unroll
    for (int i = 0; i < kValues; ++i) v.at[i] *= scale * g.at[i];
    if (accumulate) {
      const Values<kValues> before = Load<kValues>(out + col);
#pragma unroll
      for (int i = 0; i < kValues; ++i) v.at[i] += before.at[i];
    }
    Store<kValues>(out + col, v);
  }
}

unsigned ThreadsFor(int64_t cols, int values) {
  return static_cast<unsigned>(Least(DivideUp(DivideUp(cols, values), 32) * 32, kThreadsMax));
}

}  // namespace

cudaError_t LaunchLayerNorm(const Grid& grid, const RowsIn& x, const float* gain, const float* bias, float eps,
                            const RowsOut& y) {
  if (x.rows == 0) return cudaSuccess;
  const bool by_four = ByFour(x) && ByFour(y) && AlignedForFour(gain) && AlignedForFour(bias);
  return WithType(y.bf16, [&]<typename Out>(Out) {
    const auto kernel = by_four ? LayerNorm<4, Out> : LayerNorm<1, Out>;
    kernel<<<static_cast<unsigned>(x.rows), ThreadsFor(x.cols, by_four ? 4 : 1), 0, grid.stream>>>(
        static_cast<const float*>(x.data), x.stride, gain, bias, eps, static_cast<Out*>(y.data), y.stride, x.cols);
    return cudaGetLastError();
  });
}

cudaError_t LaunchRmsNorm(const Grid& grid, const RowsIn& x, const float* gain, float eps, int64_t groups,
                          bool accumulate, const RowsOut& y) {
  if (x.rows == 0) return cudaSuccess;
  const int64_t cols = x.cols / groups;
  const bool by_four = ByFour(x) && ByFour(y) && AlignedForFour(gain) && cols % 4 == 0;
  const dim3 blocks(static_cast<unsigned>(x.rows), static_cast<unsigned>(groups));
  return WithType(y.bf16, [&]<typename Out>(Out) {
    const auto kernel = by_four ? RmsNorm<4, Out> : RmsNorm<1, Out>;
    kernel<<<blocks, ThreadsFor(cols, by_four ? 4 : 1), 0, grid.stream>>>(
        static_cast<const float*>(x.data), x.stride, gain, eps, accumulate, static_cast<Out*>(y.data), y.stride, cols);
    return cudaGetLastError();
  });
}

}  // namespace headroom::runtime::cuda
