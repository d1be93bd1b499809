#include "runtime/cuda/kernels/elementwise.h"
#include "runtime/cuda/kernels/values.cuh"

namespace headroom::runtime::cuda {
namespace {

constexpr int kThreads = 256;

struct Same {
  __device__ float operator()(float x) const { return x; }
};

struct GeluTanh {
  __device__ float operator()(float x) const {
    // (1 + tanh(u)) / 2 = 1 / (1 + e^(−2u)), which keeps its digits where tanh comes near −1.
    constexpr float kSqrt2OverPi = 0.7978845608028654f;
    return x / (1.0f + expf(-2.0f * kSqrt2OverPi * (x + 0.044715f * x * x * x)));
  }
};

struct GeluErf {
  __device__ float operator()(float x) const { return 0.5f * x * erfcf(-0.70710678118654752f * x); }
};

struct SiluMul {
  __device__ float operator()(float gate, float up) const { return gate / (1.0f + expf(-gate)) * up; }
};

// Blocks in x share a row, blocks in y take rows in turn.
dim3 BlocksFor(int64_t rows, int64_t cols, int values) {
  return dim3(static_cast<unsigned>(DivideUp(cols, int64_t{kThreads} * values)),
              static_cast<unsigned>(Least(rows, kGridYMax)));
}

template <int kValues, typename In, typename Out, typename Function>
__global__ void __launch_bounds__(kThreads)
    Unary(const In* x, int64_t x_stride, Out* y, int64_t y_stride, int64_t rows, int64_t cols, Function function) {
  const int64_t col = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * kValues;
  if (col >= cols) return;
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    Values<kValues> v = Load<kValues>(x + row * x_stride + col);
#pragma unroll
    for (float& value : v.at) value = function(value);
    Store<kValues>(y + row * y_stride + col, v);
  }
}

template <int kValues, typename Out, typename Function>
__global__ void __launch_bounds__(kThreads) Binary(const float* a, const float* b, int64_t in_stride, Out* y,
                                                   int64_t y_stride, int64_t rows, int64_t cols, Function function) {
  const int64_t col = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * kValues;
  if (col >= cols) return;
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    Values<kValues> v = Load<kValues>(a + row * in_stride + col);
    const Values<kValues> w = Load<kValues>(b + row * in_stride + col);
#pragma unroll
    for (int i = 0; i < kValues; ++i) v.at[i] = function(v.at[i], w.at[i]);
    Store<kValues>(y + row * y_stride + col, v);
  }
}

template <int kValues, typename In, typename Out, typename Function>
cudaError_t LaunchUnary(const Grid& grid, const RowsIn& x, const RowsOut& y, Function function) {
  Unary<kValues><<<BlocksFor(x.rows, x.cols, kValues), kThreads, 0, grid.stream>>>(
      static_cast<const In*>(x.data), x.stride, static_cast<Out*>(y.data), y.stride, x.rows, x.cols, function);
  return cudaGetLastError();
}

template <typename In, typename Out, typename Function>
cudaError_t LaunchUnary(const Grid& grid, const RowsIn& x, const RowsOut& y, Function function) {
  if (x.rows == 0) return cudaSuccess;
  return ByFour(x) && ByFour(y) ? LaunchUnary<4, In, Out>(grid, x, y, function)
                                : LaunchUnary<1, In, Out>(grid, x, y, function);
}

// One block a group: there are few of them, and each is done when its first bad value is met.
template <int kValues>
__global__ void __launch_bounds__(1024)
    FindNonFinite(const float* x, int64_t stride, int64_t cols, int64_t group, int32_t* found) {
  const float* const rows = x + blockIdx.x * group * stride;
  bool bad = false;
  for (int64_t row = 0; row < group; ++row) {
    for (int64_t col = int64_t{threadIdx.x} * kValues; col < cols; col += int64_t{blockDim.x} * kValues) {
      const Values<kValues> v = Load<kValues>(rows + row * stride + col);
#pragma unroll
      for (const float value : v.at) bad |= !isfinite(value);
    }
  }
  bad = __syncthreads_or(bad) != 0;
  if (threadIdx.x == 0) found[blockIdx.x] = bad ? 1 : 0;
}

}  // namespace

cudaError_t LaunchGeluTanh(const Grid& grid, const RowsIn& x, const RowsOut& y) {
  return WithType(y.bf16, [&]<typename Out>(Out) { return LaunchUnary<float, Out>(grid, x, y, GeluTanh()); });
}

cudaError_t LaunchGeluErf(const Grid& grid, const RowsIn& x, const RowsOut& y) {
  return WithType(y.bf16, [&]<typename Out>(Out) { return LaunchUnary<float, Out>(grid, x, y, GeluErf()); });
}

cudaError_t LaunchConvert(const Grid& grid, const RowsIn& x, const RowsOut& y) {
  return WithType(x.bf16, [&]<typename In>(In) {
    return WithType(y.bf16, [&]<typename Out>(Out) { return LaunchUnary<In, Out>(grid, x, y, Same()); });
  });
}

cudaError_t LaunchSiluMul(const Grid& grid, const RowsIn& gate, const RowsIn& up, const RowsOut& y) {
  if (y.rows == 0) return cudaSuccess;
  const auto launch = [&]<int kValues, typename Out>() {
    Binary<kValues><<<BlocksFor(y.rows, y.cols, kValues), kThreads, 0, grid.stream>>>(
        static_cast<const float*>(gate.data), static_cast<const float*>(up.data), gate.stride,
        static_cast<Out*>(y.data), y.stride, y.rows, y.cols, SiluMul());
    return cudaGetLastError();
  };
  const bool by_four = ByFour(gate) && ByFour(up) && ByFour(y);
  return WithType(y.bf16, [&]<typename Out>(Out) {
    return by_four ? launch.template operator()<4, Out>() : launch.template operator()<1, Out>();
  });
}

cudaError_t LaunchFindNonFinite(const Grid& grid, const RowsIn& x, int64_t group, int32_t* found) {
  const int64_t groups = x.rows / group;
  if (groups == 0) return cudaSuccess;
  const auto blocks = static_cast<unsigned>(groups);
  const int values = ByFour(x) ? 4 : 1;
  const auto threads = static_cast<unsigned>(Least(DivideUp(DivideUp(x.cols, values), 32) * 32, 1024));
  const auto kernel = values == 4 ? FindNonFinite<4> : FindNonFinite<1>;
  kernel<<<blocks, threads, 0, grid.stream>>>(static_cast<const float*>(x.data), x.stride, x.cols, group, found);
  return cudaGetLastError();
}

}  // namespace headroom::runtime::cuda
