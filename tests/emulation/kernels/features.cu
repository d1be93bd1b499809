// What kernels use beside arithmetic: atomics, an order between blocks, a grid-wide barrier, calls, pointers to functions, tables, printf, assert.
#include <cooperative_groups.h>

#include <cassert>
#include <cstdint>
#include <cstdio>

__device__ unsigned int finished_blocks = 0;
__device__ int call_count = 0;
__constant__ int weights[4] = {2, 3, 5, 7};

// The sum of n numbers: every block writes its part, the last one to come adds the parts up.
extern "C" __global__ void SumByLastBlock(const int* x, int n, int* parts, int* total) {
  __shared__ int sum;
  __shared__ bool last;
  if (threadIdx.x == 0) sum = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) atomicAdd(&sum, x[i]);
  __syncthreads();
  if (threadIdx.x == 0) {
    parts[blockIdx.x] = sum;
    __threadfence();
    last = atomicAdd(&finished_blocks, 1u) == gridDim.x - 1;
    __threadfence();
  }
  __syncthreads();
  if (!last || threadIdx.x != 0) return;
  int all = 0;
  for (int b = 0; b < gridDim.x; b++) all += parts[b];
  *total = all;
  finished_blocks = 0;
}

// Cooperative: every block reads what its neighbour wrote before the barrier.
extern "C" __global__ void Rotate(int* x, int* y) {
  x[blockIdx.x * blockDim.x + threadIdx.x] = blockIdx.x * 1000 + threadIdx.x;
  cooperative_groups::this_grid().sync();
  y[blockIdx.x * blockDim.x + threadIdx.x] = x[(blockIdx.x + 1) % gridDim.x * blockDim.x + threadIdx.x];
}

__device__ __noinline__ int Collatz(int n, int steps) { return n == 1 ? steps : Collatz(n % 2 == 0 ? n / 2 : 3 * n + 1, steps + 1); }
__device__ __noinline__ int Double(int x) { return 2 * x; }
__device__ __noinline__ int Square(int x) { return x * x; }

extern "C" __global__ void Calls(int* out, int n) {
  const int i = threadIdx.x;
  if (i >= n) return;
  atomicAdd(&call_count, 1);
  int (*const functions[])(int) = {Double, Square};
  int local[8];
  for (int k = 0; k < 8; k++) local[k] = functions[(i + k) % 2](k) * weights[k % 4];
  out[i] = Collatz(i + 1, 0) * 1000 + local[(i * 5) % 8];
}

extern "C" __global__ void Print(int limit) {
  assert(static_cast<int>(threadIdx.x) < limit);
  if (threadIdx.x == 2) printf("thread %d of %s: %.2f %lld%%\n", threadIdx.x, "Print", 1.5, 1ll << 40);
}

extern "C" __global__ void Histogram(const unsigned char* bytes, int n, unsigned int* counts) {
  __shared__ unsigned int own[256];
  for (int i = threadIdx.x; i < 256; i += blockDim.x) own[i] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) atomicAdd(&own[bytes[i]], 1u);
  __syncthreads();
  for (int i = threadIdx.x; i < 256; i += blockDim.x) atomicAdd(&counts[i], own[i]);
}
