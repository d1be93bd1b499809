#include "runtime/device.h"

#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <optional>
#include <utility>

#include "runtime/backend.h"
#include "runtime/cpu/cpu_backend.h"
#include "runtime/cpu/processors.h"
#include "runtime/cuda/cuda_backend.h"

namespace headroom::runtime {
namespace {

constexpr Isa kAllIsas[] = {Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16, Isa::kAmx};
constexpr int kThreadsMax = 1024;

absl::StatusOr<Isa> ChooseIsa(const std::string& wanted) {
  HEADROOM_ASSIGN_OR_RETURN(const Isa present, DetectIsa());
  std::string name = wanted;
  if (name == "auto") {
    const char* forced = std::getenv("HEADROOM_ISA");
    if (forced != nullptr && *forced != '\0') name = forced;
  }
  if (name == "auto") return present;
  for (const Isa isa : kAllIsas) {
    if (name != IsaName(isa)) continue;
    if (isa > present) {
      return absl::FailedPreconditionError(
          absl::StrCat("instruction set ", name, " is forced, but this machine has ", IsaName(present), " at most"));
    }
    return isa;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown instruction set ", name, ": want auto, avx2, avx512, avx512_bf16 or amx"));
}

// The first device of a process decides; see device.h.
absl::Status FixIsaOfProcess(Isa isa) {
  static std::mutex mutex;
  static std::optional<Isa> chosen;
  const std::lock_guard<std::mutex> lock(mutex);
  if (chosen.has_value()) {
    if (*chosen == isa) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat("instruction set ", IsaName(isa),
                                                      " is wanted, but this process computes with ", IsaName(*chosen)));
  }
  HEADROOM_RETURN_IF_ERROR(cpu::LimitLibraries(isa));
  chosen = isa;
  return absl::OkStatus();
}

}  // namespace

const char* IsaName(Isa isa) {
  switch (isa) {
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx512Bf16:
      return "avx512_bf16";
    case Isa::kAmx:
      return "amx";
  }
  return "unknown";
}

absl::StatusOr<Isa> DetectIsa() { return cpu::DetectIsa(); }

absl::StatusOr<std::unique_ptr<Device>> Device::Create(const DeviceOptions& options) {
  if (options.threads < 0 || options.threads > kThreadsMax) {
    return absl::InvalidArgumentError(absl::StrCat("threads is ", options.threads, ", allowed: 0 to ", kThreadsMax));
  }
  if (options.kind == "cuda") return cuda::CreateDevice(options);
  if (options.kind != "cpu") {
    return absl::InvalidArgumentError(absl::StrCat("unknown device kind ", options.kind, ": want cpu or cuda"));
  }
  HEADROOM_ASSIGN_OR_RETURN(const Isa isa, ChooseIsa(options.isa));
  HEADROOM_RETURN_IF_ERROR(FixIsaOfProcess(isa));
  const int threads = options.threads > 0 ? options.threads : cpu::ProcessorsOfProcess();
  return std::unique_ptr<Device>(new Device(isa, threads, cpu::CreateBackend(isa, threads)));
}

Device::Device(Isa isa, int threads, std::unique_ptr<Backend> backend)
    : isa_(isa), threads_(threads), backend_(std::move(backend)) {}

Device::~Device() = default;

void PrepareProcess(char** argv) {
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
