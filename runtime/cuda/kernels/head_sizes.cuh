// Launches, and the choice of a kernel's head size.
#pragma once

#include <cuda_runtime.h>

#include <climits>
#include <cstdint>

namespace headroom::runtime::cuda {

// Calls function.operator()<head_dim>(), for one that HasTensorKernel() knows.
template <typename Function>
cudaError_t WithHeadSize(int64_t head_dim, Function function) {
  switch (head_dim) {
    case 32:
      return function.template operator()<32>();
    case 64:
      return function.template operator()<64>();
    case 72:
      return function.template operator()<72>();
    case 80:
      return function.template operator()<80>();
    case 96:
      return function.template operator()<96>();
    case 128:
      return function.template operator()<128>();
    default:
      return cudaErrorInvalidValue;
  }
}

// No blocks: nothing to do.
template <typename... Args>
cudaError_t Launch(void (*kernel)(Args...), int64_t blocks, int threads, int shared_bytes, cudaStream_t stream,
                   const Args&... args) {
  if (blocks == 0) return cudaSuccess;
  if (blocks > INT_MAX) return cudaErrorInvalidValue;
  // Above 48 KiB a kernel says so. Once would do, but it costs little and every device has to be told.
  if (shared_bytes > 48 * 1024) {
    const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
    if (error != cudaSuccess) return error;
  }
  kernel<<<static_cast<unsigned>(blocks), threads, static_cast<size_t>(shared_bytes), stream>>>(args...);
  return cudaGetLastError();
}

}  // namespace headroom::runtime::cuda
