// Device: memory, and a lane of operations that compute on it. Each kind is built by its own backend (cpu/, cuda/), and
// what is a fact of that kind alone (instruction set, threads) is known there and nowhere else.
//
// The lane is ordered and asynchronous: operations (runtime/ops), Upload and Download are checked when they are called
// and done, in the order of the calls, at any time until Wait() returns. So
//   - what an earlier operation of the lane reads is not overwritten by a later one before it was read: whoever writes
//     to device memory goes through the lane, or knows that the lane is idle there (DeviceMemory::Write);
//   - host memory that was handed to Upload or Download stays where it is, and unchanged, until Wait() returns;
//   - arguments of operations hold device memory and plain numbers, no pointers of the host.
// An error of an operation that shows only while it computes is returned by Wait(); what was called after it need not
// be done then. The CPU does everything at once; rely on that nowhere.
//
// Threads: steps take turns by holding EnterLane() from the first call to the last Wait() (runtime/step.h does both).
// memory() and the Prepare and Describe functions may be used from any thread at any time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "common/compute_thread.h"
#include "common/status.h"
#include "memory/device_memory.h"
#include "runtime/device_monitor.h"

namespace headroom::runtime {

struct DeviceOptions {
  std::string kind = "cpu";
  std::string isa = "auto";  // of a CPU: or a name of cpu::IsaName()
  int threads = 0;           // of a CPU; 0: the processors that this process may run on
};

// The device-specific half of the operations (backend.h), and what of it a plan asks (kernel_sizes.h).
class Backend;
class KernelSizes;

// The turn of one step on a device. Whoever holds it computes, and allocates nothing to speak of.
class Lane {
 public:
  explicit Lane(std::mutex& mutex) : lock_(mutex) {}

 private:
  std::unique_lock<std::mutex> lock_;
  ComputeScope scope_;
};

class Device {
 public:
  // INVALID_ARGUMENT: unknown kind or isa, threads out of [0, 1024]. UNIMPLEMENTED: "cuda" in a build without it.
  // FAILED_PRECONDITION: the machine lacks the isa, or this process already computes with another one.
  static absl::StatusOr<std::unique_ptr<Device>> Create(const DeviceOptions& options);
  Device() = default;
  virtual ~Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // What it computes with, for people: "avx512_bf16, 2 threads".
  virtual std::string Describe() const = 0;

  virtual memory::DeviceMemory& memory() = 0;

  // In lane order.
  virtual absl::Status Upload(std::span<const std::byte> from, memory::DevicePtr to) = 0;
  virtual absl::Status Download(memory::DevicePtr from, std::span<std::byte> to) = 0;
  // Until all that was called before is done. The first error among it, once.
  virtual absl::Status Wait() = 0;

  // Null where nobody else uses the device, or nobody can tell.
  virtual DeviceMonitor* monitor() { return nullptr; }

  // One compute lane per device: hold it for a whole step.
  Lane EnterLane() { return Lane(lane_); }

  // Lives as long as the device.
  KernelSizes& sizes();

  // For runtime/ops only.
  virtual Backend& backend() = 0;

 private:
  std::mutex lane_;
};

// Device::Create, or what a test computes on instead.
using CreateDevice = std::function<absl::StatusOr<std::unique_ptr<Device>>(const DeviceOptions& options)>;

// Call first thing in main(), before any thread exists: libgomp reads its settings before main, so where
// OMP_WAIT_POLICY is not set, this sets it to "passive" (a waiting team sleeps and burns no core that another role
// needs) and executes the program again, once. Returns when nothing had to be done, or when it could not be done (the
// program then runs with libgomp's defaults). CUDA loads kernels when they are first needed, and takes device memory
// then; where CUDA_MODULE_LOADING is not set this sets it to EAGER.
void PrepareProcess(char** argv);

}  // namespace headroom::runtime
