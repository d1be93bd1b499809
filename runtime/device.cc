#include "runtime/device.h"

#include <unistd.h>

#include <climits>
#include <cstdlib>

#include "runtime/backend.h"
#include "runtime/cpu/cpu_device.h"
#include "runtime/cuda/plugin.h"

namespace headroom::runtime {

absl::StatusOr<std::unique_ptr<Device>> Device::Create(const DeviceOptions& options) {
  if (options.kind == "cpu") return cpu::CreateDevice(options);
  if (options.kind == "cuda") return cuda::CreateDevice(options);
  return absl::InvalidArgumentError(absl::StrCat("unknown device kind ", options.kind, ": want cpu or cuda"));
}

KernelSizes& Device::sizes() { return backend(); }

void PrepareProcess(char** argv) {
  static_cast<void>(setenv("CUDA_MODULE_LOADING", "EAGER", /*overwrite=*/0));
  constexpr char kWaitPolicy[] = "OMP_WAIT_POLICY";
  if (std::getenv(kWaitPolicy) != nullptr) return;
  // The resolved path and not /proc/self/exe, so that the process keeps its name in ps.
  char path[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
  if (length <= 0) return;
  path[length] = '\0';
  if (setenv(kWaitPolicy, "passive", 1) != 0) return;
  execv(path, argv);
}

}  // namespace headroom::runtime
