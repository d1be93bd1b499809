#include "runtime/cuda/kernels/product.h"
#include "runtime/cuda/kernels/values.cuh"

namespace headroom::runtime::cuda {
namespace {

constexpr int kTile = 16;

// A block computes tiles of kTile × kTile, a thread one value of each. For odd shapes: made to be right, not to be
// fast.
template <typename In>
__global__ void __launch_bounds__(kTile* kTile)
    Product(const In* x, int64_t x_stride, const In* weight, int64_t n_stride, int64_t k_stride, const float* bias,
            bool accumulate, float* y, int64_t y_stride, int64_t m_count, int64_t n_count, int64_t k_count) {
  __shared__ float x_tile[kTile][kTile + 1], w_tile[kTile][kTile + 1];
  const int column = threadIdx.x % kTile, line = threadIdx.x / kTile;
  const int64_t m = int64_t{blockIdx.x} * kTile + line;
  for (int64_t n0 = int64_t{blockIdx.y} * kTile; n0 < n_count; n0 += int64_t{gridDim.y} * kTile) {
    float sum = 0;
    for (int64_t k0 = 0; k0 < k_count; k0 += kTile) {
      const int64_t k = k0 + column, w_row = n0 + line;
      x_tile[line][column] = m < m_count && k < k_count ? Load<1>(x + m * x_stride + k).at[0] : 0.0f;
      w_tile[line][column] =
          w_row < n_count && k < k_count ? Load<1>(weight + w_row * n_stride + k * k_stride).at[0] : 0.0f;
      __syncthreads();
#pragma unroll
      for (int i = 0; i < kTile; ++i) sum = fmaf(x_tile[line][i], w_tile[column][i], sum);
      __syncthreads();
    }
    const int64_t n = n0 + column;
    if (m >= m_count || n >= n_count) continue;
    float* const out = y + m * y_stride + n;
    if (bias != nullptr) sum += bias[n];
    *out = accumulate ? *out + sum : sum;
  }
}

}  // namespace

cudaError_t LaunchProduct(const Grid& grid, const RowsIn& x, const RowsIn& weight, bool weight_is_kn, const float* bias,
                          bool accumulate, const RowsOut& y) {
  const dim3 blocks(static_cast<unsigned>(DivideUp(y.rows, kTile)),
                    static_cast<unsigned>(Least(DivideUp(y.cols, kTile), kGridYMax)));
  const int64_t n_stride = weight_is_kn ? 1 : weight.stride, k_stride = weight_is_kn ? weight.stride : 1;
  return WithType(x.bf16, [&]<typename T>(T) {
    Product<<<blocks, kTile * kTile, 0, grid.stream>>>(
        static_cast<const T*>(x.data), x.stride, static_cast<const T*>(weight.data), n_stride, k_stride, bias,
        accumulate, static_cast<float*>(y.data), y.stride, y.rows, y.cols, x.cols);
    return cudaGetLastError();
  });
}

}  // namespace headroom::runtime::cuda
