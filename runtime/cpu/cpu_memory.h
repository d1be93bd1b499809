// Memory of the CPU as a device: mapped and touched in one step, in huge pages where the kernel has them.
#pragma once

#include "memory/device_memory.h"

namespace headroom::runtime::cpu {

class CpuMemory : public memory::DeviceMemory {
 public:
  // INVALID_ARGUMENT on bytes below 1 or absurd; RESOURCE_EXHAUSTED when the machine or its control group has less
  // available; CANCELLED.
  absl::StatusOr<memory::DeviceSpan> Reserve(int64_t bytes, const std::stop_token& stop) override;
  void Release(memory::DeviceSpan memory) override;
  absl::Status Write(std::span<const std::byte> from, memory::DevicePtr to) override;
  absl::Status Read(memory::DevicePtr from, std::span<std::byte> to) override;
};

}  // namespace headroom::runtime::cpu
