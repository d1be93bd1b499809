// NVIDIA's management library, which tells of a card what the CUDA runtime does not: who else uses it, and what
// happened to it. It belongs to the driver and is loaded at run time. The toolkit has no header for it; names, values
// and layouts are those that NVIDIA documents.
#pragma once

#include <cuda_runtime_api.h>

#include <atomic>
#include <memory>

#include "common/status.h"
#include "runtime/device_monitor.h"

namespace headroom::runtime::cuda {

struct NvmlFunctions;

class NvmlMonitor : public DeviceMonitor {
 public:
  // Before this process has a context on the card, so that the difference shows what opening it takes. Cards of both
  // libraries are matched by their UUID: CUDA_VISIBLE_DEVICES gives them other numbers. UNAVAILABLE: no NVML here, or
  // it does not know the card.
  static absl::StatusOr<std::unique_ptr<NvmlMonitor>> Create(const cudaUUID_t& card);
  ~NvmlMonitor() override;

  // After the context is there and before anything was reserved.
  absl::Status CountOpening();
  // What this process reserved on the card, negative when it gave back.
  void CountReserved(int64_t bytes) { reserved_ += bytes; }

  absl::StatusOr<DeviceUse> Use() override;
  std::string WaitForFault(std::chrono::milliseconds patience) override;

 private:
  explicit NvmlMonitor(std::unique_ptr<NvmlFunctions> nvml);
  absl::StatusOr<int64_t> UsedBytes() const;
  // Of this process; −1 where the driver does not tell.
  int64_t ToldBytes() const;

  const std::unique_ptr<NvmlFunctions> nvml_;
  void* card_ = nullptr;
  void* events_ = nullptr;
  int64_t used_before_ = 0;
  std::atomic<int64_t> opening_ = 0;
  std::atomic<int64_t> reserved_ = 0;
};

}  // namespace headroom::runtime::cuda
