// Shared by the files that define the functions of libnvidia-ml.
#pragma once

#include <cstdint>

#include "tests/emulation/nvml/nvml.h"

// The header leaves it open.
struct nvmlDevice_st {
  int number;
};

namespace emulation {

// What the environment says of NVML.
struct NvmlSettings {
  uint64_t reserved =
      64 << 20;  // EMULATED_NVML_RESERVED, bytes: what the driver keeps, beside the memory that CUDA knows of
  // EMULATED_NVML_PROCESSES: "sizes"; "no-sizes", as on some drivers and with MIG; "none", as in many containers.
  bool processes = true, sizes = true;
};
const NvmlSettings& GetNvmlSettings();

bool IsInitialized();
// NVML_SUCCESS, or why a call about the device cannot be answered.
nvmlReturn_t Check(nvmlDevice_t device);

constexpr unsigned int kXidEcc = 48;   // an uncorrectable error, which is an ECC event as well
constexpr unsigned int kXidLost = 79;  // the card has fallen off its bus: from then on every call about it fails

}  // namespace emulation
