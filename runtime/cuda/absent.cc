// Stands in for the CUDA backend, which a later issue brings: every build so far is without CUDA, and asking for the
// device says so. No other file needs to know; there is no device #ifdef elsewhere.
#include "runtime/cuda/cuda_backend.h"

namespace headroom::runtime::cuda {

absl::StatusOr<std::unique_ptr<Device>> CreateDevice(const DeviceOptions&) {
  return absl::UnimplementedError("this build has no CUDA backend: use device kind cpu");
}

}  // namespace headroom::runtime::cuda
