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
// Threads: steps take turns by holding EnterLane() from the first call to the last Wait() (runtime/step.h does both),
// in the order in which they came: one that encodes waits for one that decodes at most, and the other way round.
// memory() and the Prepare and Describe functions may be used from any thread at any time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>

#include "common/compute_thread.h"
#include "common/status.h"
#include "common/turns.h"
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

// What opening a device took of its memory, step by step, measured in bytes. Absent: nothing could tell.
struct OpeningUse {
  std::optional<int64_t> context;    // driver and context
  std::optional<int64_t> modules;    // kernels, as far as they did not come with the context
  std::optional<int64_t> libraries;  // handles and streams
};

// Operations that a device keeps as one (a graph), to be done again and again with the arguments they were called with.
// Their memory outlives it.
class Recording {
 public:
  virtual ~Recording() = default;
  // Does them, in lane order.
  virtual absl::Status Launch() = 0;
  // What the device is told to start for them each time: kernels, copies.
  virtual int64_t launches() const = 0;
};

// The turn of one step on a device. Whoever holds it computes, and allocates nothing to speak of.
class Lane {
 public:
  explicit Lane(Turns& turns) : turn_(turns) {}

 private:
  std::unique_lock<Turns> turn_;
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

  // The error after which nothing works on this device any more in this process; OK while there is none. Thread-safe.
  virtual absl::Status Lost() { return absl::OkStatus(); }

  // Makes the calls and keeps the operations they call in place of doing them; nothing else of the lane is called
  // meanwhile, and no host memory is handed over. Whoever calls it holds the lane. UNIMPLEMENTED, and nothing was
  // called, where a device has no way to start many operations as one (KernelSizes::RecordingBytes is 0).
  virtual absl::StatusOr<std::unique_ptr<Recording>> Record(const std::function<absl::Status()>&) {
    return absl::UnimplementedError("this device keeps no operations");
  }

  // Null where nobody else uses the device, or nobody can tell.
  virtual DeviceMonitor* monitor() { return nullptr; }

  virtual OpeningUse opening() const { return {}; }
  // Libraries load what a product needs when it first runs, and take memory of the device then: whoever serves runs
  // every product once before.
  virtual bool LoadsLate() const { return false; }
  // Memory of the device that is taken: by this process where its driver tells, else by all. The difference of two
  // answers is what happened in between. Absent where nothing tells. Thread-safe.
  virtual std::optional<int64_t> TakenBytes() { return std::nullopt; }

  // One compute lane per device: hold it for a whole step.
  Lane EnterLane() { return Lane(lane_); }

  // Lives as long as the device.
  KernelSizes& sizes();

  // For runtime/ops only.
  virtual Backend& backend() = 0;

 private:
  Turns lane_;
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
