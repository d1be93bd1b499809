#include "runtime/cuda/kernels/positions.h"
#include "runtime/cuda/kernels/sin_cos.cuh"

namespace headroom::runtime::cuda {
namespace {

constexpr int kThreads = 256;

// One block a row. Powers and angles are rounded to f32 as the reference does.
__global__ void __launch_bounds__(kThreads) SineTable(float* table, int64_t stride, int half) {
  constexpr double kLn10000 = 9.210340371976182736;
  float* const row = table + blockIdx.x * stride;
  for (int k = threadIdx.x; k < half; k += kThreads) {
    const float exponent = static_cast<float>(k) / static_cast<float>(half);
    const float frequency = 1.0f / static_cast<float>(exp(exponent * kLn10000));
    const SinCos value = SinCosOf(static_cast<float>(blockIdx.x) * frequency);
    row[k] = value.sin;
    row[half + k] = value.cos;
  }
}

}  // namespace

cudaError_t LaunchSineTable(const Grid& grid, const RowsOut& table) {
  if (table.rows == 0) return cudaSuccess;
  SineTable<<<static_cast<unsigned>(table.rows), kThreads, 0, grid.stream>>>(
      static_cast<float*>(table.data), table.stride, static_cast<int>(table.cols / 2));
  return cudaGetLastError();
}

}  // namespace headroom::runtime::cuda
