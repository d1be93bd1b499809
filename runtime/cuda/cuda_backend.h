#pragma once

#include <memory>

#include "common/status.h"
#include "runtime/device.h"

namespace headroom::runtime::cuda {

// UNIMPLEMENTED in a build without CUDA.
absl::StatusOr<std::unique_ptr<Device>> CreateDevice(const DeviceOptions& options);

}  // namespace headroom::runtime::cuda
