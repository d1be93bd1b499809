#include <dlfcn.h>

#include <string>
#include <string_view>

#include "runtime/cuda/plugin.h"

namespace headroom::runtime::cuda {
namespace {

// Found by the RUNPATH of the program, $ORIGIN/../lib (runtime/CMakeLists.txt).
constexpr char kLibrary[] = "libheadroom_cuda.so";

// Why the library did not open. The loader says it in words only, and begins with the library that it lacks.
absl::Status WhyNotOpened() {
  const char* const error = dlerror();
  const std::string reason = error != nullptr ? error : "no reason given";
  if (std::string_view(reason).starts_with(kLibrary)) {
    return absl::UnimplementedError(
        absl::StrCat("this build has no CUDA backend (", reason, "): use device.kind cpu, or build with CUDA"));
  }
  return absl::FailedPreconditionError(absl::StrCat("device.kind is cuda, and its libraries do not load: ", reason));
}

absl::StatusOr<CreateFunction> Load() {
  // Never closed: devices, and what the toolkit's libraries registered, live as long as the process.
  void* const library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return WhyNotOpened();
  const auto interface = reinterpret_cast<InterfaceFunction>(dlsym(library, kInterfaceSymbol));
  const auto create = reinterpret_cast<CreateFunction>(dlsym(library, kCreateSymbol));
  Interface theirs = {.version = 0, .sizes = 0};
  if (interface != nullptr) interface(theirs);
  if (create == nullptr || !(theirs == Interface{})) {
    return absl::FailedPreconditionError(absl::StrCat(kLibrary, " belongs to another build of Headroom (interface ",
                                                      theirs.version, ".", theirs.sizes, ", this program wants ",
                                                      Interface{}.version, ".", Interface{}.sizes, ")"));
  }
  return create;
}

}  // namespace

CreatedDevice CreateDevice(const DeviceOptions& options) {
  static const absl::StatusOr<CreateFunction> create = Load();
  HEADROOM_RETURN_IF_ERROR(create.status());
  CreatedDevice device = absl::UnknownError("no device");
  (*create)(options, device);
  return device;
}

}  // namespace headroom::runtime::cuda
