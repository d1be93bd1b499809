// DeviceMonitor: what happens on a device that is not of our doing. Others may use a card that we use, and a card may
// break; its driver knows.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "common/status.h"

namespace headroom::runtime {

struct DeviceUse {
  int64_t total_bytes = 0;  // that processes can have: what the driver keeps for itself is not in it
  int64_t free_bytes = 0;
  int64_t own_bytes = 0;    // of this process: context, libraries, what it reserved
  int64_t other_bytes = 0;  // of everybody else
  // Whether the driver told this process's share. Else (in a container, on a part of a card) own_bytes is what opening
  // the device took, and what was reserved since.
  bool own_is_told = false;
};

// Thread-safe.
class DeviceMonitor {
 public:
  virtual ~DeviceMonitor() = default;

  // UNAVAILABLE when the device answers no more.
  virtual absl::StatusOr<DeviceUse> Use() = 0;

  // Waits for up to `patience`. What has happened to the device so that nothing can be relied on that it computes;
  // empty when nothing has. Errors that other programs made are not among it: the driver keeps them apart.
  virtual std::string WaitForFault(std::chrono::milliseconds patience) = 0;
};

}  // namespace headroom::runtime
