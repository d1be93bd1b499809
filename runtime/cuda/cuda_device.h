// One card as a device: the first that CUDA_VISIBLE_DEVICES leaves.
#pragma once

#include <memory>

#include "common/status.h"
#include "runtime/device.h"

namespace headroom::runtime::cuda {

// FAILED_PRECONDITION: no driver, no card, or one below compute capability 8.0.
absl::StatusOr<std::unique_ptr<Device>> CreateCudaDevice(const DeviceOptions& options);

}  // namespace headroom::runtime::cuda
