// The CPU as a device: operations are done when they return, with one OpenMP team of threads() threads, the caller
// among them. libgomp keeps one pool per calling thread, so compute from few long-lived threads.
#pragma once

#include <memory>
#include <string>

#include "common/status.h"
#include "runtime/cpu/isa.h"
#include "runtime/device.h"

namespace headroom::runtime::cpu {

class CpuDevice : public Device {
 public:
  // Of CreateDevice's result, and of nothing else.
  static CpuDevice& Of(Device& device) { return dynamic_cast<CpuDevice&>(device); }
  virtual Isa isa() const = 0;
  virtual int threads() const = 0;
};

// INVALID_ARGUMENT: unknown isa, threads out of [0, 1024]. FAILED_PRECONDITION as FixIsaOfProcess.
absl::StatusOr<std::unique_ptr<Device>> CreateDevice(const DeviceOptions& options);

// A backend whose device addresses are `address_offset` below its own. For tests: the late device computes with it.
absl::StatusOr<std::unique_ptr<runtime::Backend>> CreateBackend(const DeviceOptions& options, int64_t address_offset);

// What oneDNN keeps for one primitive, of which there is one for each bucket above 8 rows ([K,N]: from one row on), at
// most: code and descriptors. Measured with oneDNN 2.6 at 60 to 130 KiB, 105 KiB on average over the products of
// MiniCPM-V 2.6 in steps of 4096 tokens and 4612 patches.
inline constexpr int64_t kPrimitiveBytes = int64_t{160} * 1024;

}  // namespace headroom::runtime::cpu
