// Where kernels are launched: what kernels/*.cu and the backend share. Plain C++ with CUDA's own header.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace headroom::runtime::cuda {

struct Grid {
  cudaStream_t stream = nullptr;
  int multiprocessors = 1;
};

// Row-major numbers on the card (runtime/matrix.h as kernels take it).
struct RowsIn {
  const void* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;  // elements
  bool bf16 = false;   // else f32
};
struct RowsOut {
  void* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;
  bool bf16 = false;
};

inline constexpr int64_t kGridYMax = 65535;  // of blocks in y and z; x goes to 2^31 − 1

constexpr int64_t Least(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace headroom::runtime::cuda
