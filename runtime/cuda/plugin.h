// The CUDA backend lies in a library of its own, lib/libheadroom_cuda.so beside bin/, which is opened when device kind
// cuda is asked for: so the same programs start on a machine without CUDA's libraries (docs/adr/0017).
#pragma once

#include <memory>

#include "common/status.h"
#include "runtime/backend.h"
#include "runtime/device.h"

namespace headroom::runtime::cuda {

// What program and library must agree on: version, raised with every virtual function of Device, DeviceMemory or
// Backend that changes, and sizes of everything that passes between them.
struct Interface {
  int64_t version = 6;
  int64_t sizes = sizeof(Device) + sizeof(Backend) + sizeof(DeviceOptions) + sizeof(LinearArgs) + sizeof(LinearSpec) +
                  sizeof(LayerNormArgs) + sizeof(RmsNormArgs) + sizeof(GeluTanhArgs) + sizeof(SiluMulArgs) +
                  sizeof(ConvertArgs) + sizeof(FindNonFiniteArgs) + sizeof(EmbeddingGatherArgs) +
                  sizeof(AddGatheredArgs) + sizeof(SineTableArgs) + sizeof(RopeArgs) + sizeof(GeluErfArgs) +
                  sizeof(JoinRowsArgs) + sizeof(AttentionArgs) + sizeof(PagedKvWriteArgs) + sizeof(CopyKvBlocksArgs) +
                  sizeof(PagedAttentionArgs) + sizeof(SampleArgs) + sizeof(Sampling);
  friend bool operator==(const Interface&, const Interface&) = default;
};

using CreatedDevice = absl::StatusOr<std::unique_ptr<Device>>;

// loader.cc, in the program. UNIMPLEMENTED in a build without CUDA. FAILED_PRECONDITION: a library is missing (it says
// which), the machine has no driver or no card that this build has code for.
CreatedDevice CreateDevice(const DeviceOptions& options);

// plugin.cc, in the library: the only names that it shows.
inline constexpr char kInterfaceSymbol[] = "HeadroomCudaInterface";
inline constexpr char kCreateSymbol[] = "HeadroomCudaCreateDevice";
using InterfaceFunction = void (*)(Interface& theirs);
using CreateFunction = void (*)(const DeviceOptions& options, CreatedDevice& created);

}  // namespace headroom::runtime::cuda
