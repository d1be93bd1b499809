#include "runtime/cpu/cpu_device.h"

#include <cstring>
#include <utility>

#include "runtime/cpu/cpu_backend.h"
#include "runtime/cpu/cpu_memory.h"
#include "runtime/cpu/processors.h"

namespace headroom::runtime::cpu {
namespace {

constexpr int kThreadsMax = 1024;

class Cpu : public CpuDevice {
 public:
  Cpu(Isa isa, int threads) : isa_(isa), threads_(threads), backend_(isa, threads, /*address_offset=*/0) {}

  std::string Describe() const override { return absl::StrCat(IsaName(isa_), ", ", threads_, " threads"); }
  memory::DeviceMemory& memory() override { return memory_; }
  absl::Status Upload(std::span<const std::byte> from, DevicePtr to) override { return memory_.Write(from, to); }
  absl::Status Download(DevicePtr from, std::span<std::byte> to) override { return memory_.Read(from, to); }
  absl::Status Wait() override { return absl::OkStatus(); }
  runtime::Backend& backend() override { return backend_; }
  Isa isa() const override { return isa_; }
  int threads() const override { return threads_; }

 private:
  const Isa isa_;
  const int threads_;
  CpuMemory memory_;
  CpuBackend backend_;
};

absl::StatusOr<std::pair<Isa, int>> Choose(const DeviceOptions& options) {
  if (options.threads < 0 || options.threads > kThreadsMax) {
    return absl::InvalidArgumentError(absl::StrCat("threads is ", options.threads, ", allowed: 0 to ", kThreadsMax));
  }
  HEADROOM_ASSIGN_OR_RETURN(const Isa isa, FixIsaOfProcess(options.isa));
  return std::pair(isa, options.threads > 0 ? options.threads : ProcessorsOfProcess());
}

}  // namespace

absl::StatusOr<std::unique_ptr<Device>> CreateDevice(const DeviceOptions& options) {
  HEADROOM_ASSIGN_OR_RETURN(const auto chosen, Choose(options));
  return std::make_unique<Cpu>(chosen.first, chosen.second);
}

absl::StatusOr<std::unique_ptr<runtime::Backend>> CreateBackend(const DeviceOptions& options, int64_t address_offset) {
  HEADROOM_ASSIGN_OR_RETURN(const auto chosen, Choose(options));
  return std::make_unique<CpuBackend>(chosen.first, chosen.second, address_offset);
}

}  // namespace headroom::runtime::cpu
