// A device for tests that allows itself everything that the contract of runtime/device.h allows and that the CPU does
// not do: reading or writing through its addresses faults, and what its lane is asked for happens late, only when
// Wait() is called, in order, on another thread. It computes with the CPU's operations.
#pragma once

#include <memory>

#include "common/status.h"
#include "runtime/device.h"

namespace headroom::runtime {

// As Device::Create for a CPU.
absl::StatusOr<std::unique_ptr<Device>> CreateLateDevice(const DeviceOptions& options);

}  // namespace headroom::runtime
