#include "runtime/cuda/kernels/positions.h"
#include "runtime/cuda/kernels/values.cuh"

namespace headroom::runtime::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kHalfMax = 512;

struct SinCos {
  float sin, cos;
};

// Of any f32 angle. CUDA's own sine would do, but for a table in local memory: a stack frame, reserved for every thread
// that the card can hold. So the angle is brought to [−π/4, π/4] in f64, which is exact enough up to 2^31, and Taylor's
// polynomials do the rest, within an ulp or so of f32.
__device__ SinCos SinCosOf(float angle) {
  const double turns = rint(angle * 0.63661977236758134308);  // quarter turns: 2/π
  const double rest = fma(-turns, 6.123233995736766036e-17, fma(-turns, 1.5707963267948966192, double{angle}));
  const auto x = static_cast<float>(rest);
  const float x2 = x * x;
  const float sin = x + x * x2 * (-1.0f / 6 + x2 * (1.0f / 120 + x2 * (-1.0f / 5040 + x2 * (1.0f / 362880))));
  const float cos =
      1.0f + x2 * (-0.5f + x2 * (1.0f / 24 + x2 * (-1.0f / 720 + x2 * (1.0f / 40320 - x2 * (1.0f / 3628800)))));
  const auto quarter = static_cast<unsigned>(static_cast<int64_t>(turns)) % 4;
  const float first = quarter % 2 == 0 ? sin : cos, second = quarter % 2 == 0 ? cos : sin;
  return {quarter < 2 ? first : -first, quarter == 0 || quarter == 3 ? second : -second};
}

// One block a row. The angles of a row are those of all its heads.
template <int kValues>
__global__ void __launch_bounds__(kThreads)
    Rope(float* x, int64_t stride, const int32_t* positions, const float* inv_freq, int half, int heads) {
  __shared__ SinCos angles[kHalfMax];
  const auto position = static_cast<float>(positions[blockIdx.x]);
  for (int i = threadIdx.x; i < half; i += kThreads) angles[i] = SinCosOf(position * inv_freq[i]);
  __syncthreads();
  float* const row = x + blockIdx.x * stride;
  const int parts = half / kValues;
  for (int part = threadIdx.x; part < heads * parts; part += kThreads) {
    const int head = part / parts, i = part % parts * kValues;
    float* const low = row + int64_t{head} * 2 * half + i;
    float* const high = low + half;
    Values<kValues> a = Load<kValues>(low), b = Load<kValues>(high);
#pragma unroll
    for (int j = 0; j < kValues; ++j) {
      const SinCos by = angles[i + j];
      const float turned = a.at[j] * by.cos - b.at[j] * by.sin;
      b.at[j] = b.at[j] * by.cos + a.at[j] * by.sin;
      a.at[j] = turned;
    }
    Store<kValues>(low, a);
    Store<kValues>(high, b);
  }
}

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

cudaError_t LaunchRope(const Grid& grid, const RowsOut& x, const int32_t* positions, const float* inv_freq,
                       int64_t half, int64_t heads) {
  if (x.rows == 0) return cudaSuccess;
  const auto kernel = ByFour(x) && half % 4 == 0 ? Rope<4> : Rope<1>;
  kernel<<<static_cast<unsigned>(x.rows), kThreads, 0, grid.stream>>>(
      static_cast<float*>(x.data), x.stride, positions, inv_freq, static_cast<int>(half), static_cast<int>(heads));
  return cudaGetLastError();
}

cudaError_t LaunchSineTable(const Grid& grid, const RowsOut& table) {
  if (table.rows == 0) return cudaSuccess;
  SineTable<<<static_cast<unsigned>(table.rows), kThreads, 0, grid.stream>>>(
      static_cast<float*>(table.data), table.stride, static_cast<int>(table.cols / 2));
  return cudaGetLastError();
}

}  // namespace headroom::runtime::cuda
