#include "runtime/cuda/cuda_device.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "runtime/cuda/cuda_backend.h"
#include "runtime/cuda/cuda_lane.h"
#include "runtime/cuda/cuda_memory.h"
#include "runtime/cuda/cuda_status.h"
#include "runtime/cuda/nvml.h"
#include "runtime/cuda/products.h"

namespace headroom::runtime::cuda {
namespace {

constexpr int kDriverMin = 580;    // the first that knows CUDA 13
constexpr int kCapabilityMin = 8;  // major: bf16 products and cp.async

// Whatever the card itself can be asked. What NVML tells of this process alone is better, where it does.
std::optional<int64_t> Taken(NvmlMonitor* monitor) {
  if (monitor != nullptr) {
    const absl::StatusOr<DeviceUse> use = monitor->Use();
    if (!use.ok()) return std::nullopt;
    return use->own_is_told ? use->own_bytes : use->total_bytes - use->free_bytes;
  }
  size_t free = 0, total = 0;
  if (cudaMemGetInfo(&free, &total) != cudaSuccess) return std::nullopt;
  return static_cast<int64_t>(total - free);
}

// Takes the steps of a floor.
class FloorMeter {
 public:
  // Before there is a context, and nothing is this process's.
  explicit FloorMeter(NvmlMonitor* monitor) : monitor_(monitor), of_others_(monitor ? Taken(monitor) : std::nullopt) {}

  // What was taken since the call before.
  std::optional<int64_t> Step() {
    const std::optional<int64_t> before = std::exchange(last_, Taken(monitor_));
    return before && last_ ? std::optional(std::max<int64_t>(0, *last_ - *before)) : std::nullopt;
  }
  // The first step. Once NVML tells of this process, it tells all.
  std::optional<int64_t> Context() {
    if (monitor_ == nullptr) {
      last_ = Taken(monitor_);
      return std::nullopt;
    }
    const absl::StatusOr<DeviceUse> use = monitor_->Use();
    last_ = use.ok() && use->own_is_told ? 0 : of_others_;
    return Step();
  }

 private:
  NvmlMonitor* const monitor_;
  const std::optional<int64_t> of_others_;
  std::optional<int64_t> last_;
};

CardProperties PropertiesOf(const cudaDeviceProp& card) {
  return {.capability = 10 * card.major + card.minor, .multiprocessors = card.multiProcessorCount};
}

class Cuda : public Device {
 public:
  Cuda(const cudaDeviceProp& card, const OpeningUse& opening, std::unique_ptr<NvmlMonitor> monitor,
       std::unique_ptr<CudaMemory> memory, std::unique_ptr<CudaLane> lane, std::unique_ptr<Products> products)
      : description_(absl::StrCat(card.name, ", compute capability ", card.major, ".", card.minor, ", ",
                                  card.multiProcessorCount, " multiprocessors")),
        opening_(opening),
        monitor_(std::move(monitor)),
        memory_(std::move(memory)),
        lane_(std::move(lane)),
        products_(std::move(products)),
        backend_(*lane_, *products_, PropertiesOf(card)) {}

  std::string Describe() const override { return description_; }
  memory::DeviceMemory& memory() override { return *memory_; }
  absl::Status Upload(std::span<const std::byte> from, DevicePtr to) override { return lane_->Upload(from, to); }
  absl::Status Download(DevicePtr from, std::span<std::byte> to) override { return lane_->Download(from, to); }
  absl::Status Wait() override { return lane_->Wait(); }
  DeviceMonitor* monitor() override { return monitor_.get(); }
  absl::Status Lost() override { return lane_->Lost(); }
  absl::StatusOr<std::unique_ptr<Recording>> Record(const std::function<absl::Status()>& calls) override {
    return lane_->Record(calls);
  }
  OpeningUse opening() const override { return opening_; }
  bool LoadsLate() const override { return true; }
  std::optional<int64_t> TakenBytes() override { return Taken(monitor_.get()); }
  runtime::Backend& backend() override { return backend_; }

 private:
  const std::string description_;
  const OpeningUse opening_;
  const std::unique_ptr<NvmlMonitor> monitor_;
  const std::unique_ptr<CudaMemory> memory_;
  const std::unique_ptr<CudaLane> lane_;
  const std::unique_ptr<Products> products_;
  CudaBackend backend_;
};

// "12.4" of 12040.
std::string VersionName(int version) { return absl::StrCat(version / 1000, ".", version % 1000 / 10); }

// What is there and what is needed, in the words by which drivers are installed.
std::string WhyNoCard(cudaError_t error) {
  if (error == cudaSuccess || error == cudaErrorNoDevice) {
    return "the driver shows no card (CUDA_VISIBLE_DEVICES, or the container asked for none)";
  }
  int driver = 0, runtime = 0;
  static_cast<void>(cudaDriverGetVersion(&driver));
  static_cast<void>(cudaRuntimeGetVersion(&runtime));
  if (error != cudaErrorInsufficientDriver && driver != 0) return cudaGetErrorString(error);
  const std::string needed =
      absl::StrCat("CUDA ", VersionName(runtime), " needs an NVIDIA driver of version ", kDriverMin, " or newer");
  if (driver == 0) {
    return absl::StrCat("no NVIDIA driver was found; ", needed,
                        " on the host, and in a container NVIDIA's runtime, which brings it in");
  }
  return absl::StrCat("its driver knows CUDA up to ", VersionName(driver), "; ", needed);
}

absl::StatusOr<cudaDeviceProp> FindCard() {
  int count = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess || count < 1) {
    return absl::FailedPreconditionError(
        absl::StrCat("device.kind is cuda, and this machine has no card that can be used: ", WhyNoCard(error)));
  }
  cudaDeviceProp card{};
  HEADROOM_RETURN_IF_ERROR(CudaStatus(cudaGetDeviceProperties(&card, 0), "asking for the card's properties"));
  if (card.major < kCapabilityMin) {
    return absl::FailedPreconditionError(absl::StrCat(card.name, " has compute capability ", card.major, ".",
                                                      card.minor, ", at least ", kCapabilityMin, ".0 is needed"));
  }
  return card;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Device>> CreateCudaDevice(const DeviceOptions&) {
  HEADROOM_ASSIGN_OR_RETURN(const cudaDeviceProp card, FindCard());
  // Without NVML (in some containers) nobody tells of others, and the rest works.
  absl::StatusOr<std::unique_ptr<NvmlMonitor>> found = NvmlMonitor::Create(card.uuid);
  std::unique_ptr<NvmlMonitor> monitor = found.ok() ? *std::move(found) : nullptr;
  FloorMeter meter(monitor.get());
  OpeningUse opening;
  // A thread that waits sleeps: it burns no core that another role needs.
  HEADROOM_RETURN_IF_ERROR(
      CudaStatus(cudaInitDevice(0, cudaDeviceScheduleBlockingSync, cudaInitDeviceFlagsAreValid), "opening the card"));
  opening.context = meter.Context();
  HEADROOM_RETURN_IF_ERROR(CudaStatus(cudaFree(nullptr), "loading kernels"));
  opening.modules = meter.Step();
  HEADROOM_ASSIGN_OR_RETURN(std::unique_ptr<CudaMemory> memory,
                            CudaMemory::Create([raw = monitor.get()](int64_t bytes) {
                              if (raw != nullptr) raw->CountReserved(bytes);
                            }));
  HEADROOM_ASSIGN_OR_RETURN(std::unique_ptr<CudaLane> lane, CudaLane::Create());
  HEADROOM_ASSIGN_OR_RETURN(std::unique_ptr<Products> products,
                            Products::Create(ProductWorkspaceBytes(PropertiesOf(card).capability)));
  opening.libraries = meter.Step();
  if (monitor != nullptr) HEADROOM_RETURN_IF_ERROR(monitor->CountOpening());
  return std::make_unique<Cuda>(card, opening, std::move(monitor), std::move(memory), std::move(lane),
                                std::move(products));
}

}  // namespace headroom::runtime::cuda
