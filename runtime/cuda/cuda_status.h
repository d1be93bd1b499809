// Errors of the CUDA runtime as statuses.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "common/status.h"

namespace headroom::runtime::cuda {

// "cuda: WHAT: an illegal memory access was encountered". INTERNAL, but RESOURCE_EXHAUSTED for memory.
inline absl::Status CudaStatus(cudaError_t error, const std::string& what) {
  if (error == cudaSuccess) return absl::OkStatus();
  const std::string message = absl::StrCat("cuda: ", what, ": ", cudaGetErrorString(error));
  return error == cudaErrorMemoryAllocation ? absl::ResourceExhaustedError(message) : absl::InternalError(message);
}

}  // namespace headroom::runtime::cuda
