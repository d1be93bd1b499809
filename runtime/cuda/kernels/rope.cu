#include "runtime/cuda/kernels/rope.cuh"

namespace headroom::runtime::cuda {
namespace {

constexpr int kThreads = 256;

// One block a row.
template <int kValues>
__global__ void __launch_bounds__(kThreads) Rope(Turned rope) {
  __shared__ __align__(16) Angles angles;
  SetAngles(rope, blockIdx.x, angles);
  float* const row = rope.q + blockIdx.x * rope.q_stride;
  const int parts = rope.pairs / kValues, all = rope.heads * parts;
#pragma unroll 1
  for (int part = threadIdx.x; part < all; part += kThreads) {
    float* const head = row + part / parts * rope.head_dim;
    Turn<kValues>(angles, rope, part % parts * kValues, head, head);
  }
}

}  // namespace

cudaError_t LaunchRope(const Grid& grid, int64_t rows, const Turned& rope) {
  if (rows == 0) return cudaSuccess;
  const auto kernel = TurnsByFour(rope, rows) ? Rope<4> : Rope<1>;
  kernel<<<static_cast<unsigned>(rows), kThreads, 0, grid.stream>>>(rope);
  return cudaGetLastError();
}

}  // namespace headroom::runtime::cuda
