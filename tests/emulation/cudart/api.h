// Shared by the files that define the functions of libcudart.
#pragma once

#include <cuda_runtime_api.h>

#include "tests/emulation/cudart/device.h"
#include "tests/emulation/cudart/stream.h"

namespace emulation {

// Keeps an error for cudaGetLastError and returns it.
cudaError_t Note(cudaError_t error);

// For calls that need the device: its context, and no error that stays. Returns what to answer instead of working, or
// cudaSuccess.
cudaError_t Enter();

// A copy, checked: both ranges must be what their kinds say, and lie within an allocation (or declared region) of the
// device.
cudaError_t CopyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                      const std::shared_ptr<Stream>& stream);

// Host memory that cudaHostAlloc or cudaHostRegister made known.
bool IsPinned(const void* address, size_t bytes);

// CUDA_MODULE_LOADING=EAGER: loads on a device whose context is there all modules that were registered: no launch
// takes memory later.
cudaError_t LoadRegistered(Device& device);

// The variable behind a symbol's host address, on the current device.
cudaError_t FindSymbol(const void* symbol, uint64_t* address, uint64_t* bytes);

}  // namespace emulation
