#include "runtime/cuda/plugin.h"

#include "runtime/cuda/cuda_device.h"

// Called by: runtime/cuda/loader.cc, by name.
extern "C" __attribute__((visibility("default"))) void HeadroomCudaInterface(
    headroom::runtime::cuda::Interface& theirs) {
  theirs = {};
}

// Called by: runtime/cuda/loader.cc, by name.
extern "C" __attribute__((visibility("default"))) void HeadroomCudaCreateDevice(
    const headroom::runtime::DeviceOptions& options, headroom::runtime::cuda::CreatedDevice& created) {
  created = headroom::runtime::cuda::CreateCudaDevice(options);
}
