// The key to DevicePtr, for implementations of DeviceMemory and the operations of the same backend alone (tools/lint
// refuses it elsewhere).
#pragma once

#include <cstdint>

#include "memory/device_memory.h"

namespace headroom::memory {

class DeviceAddress {
 public:
  static constexpr DevicePtr Make(uint64_t address) {
    DevicePtr p;
    p.address_ = address;
    return p;
  }
  static constexpr uint64_t Of(DevicePtr p) { return p.address_; }
};

}  // namespace headroom::memory
