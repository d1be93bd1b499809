// Device: what the operations of runtime/ops compute on. Today that is the CPU; "cuda" answers Unimplemented.
//
// The instruction set is found at run time (cpuid, and the operating system's leave to use the registers). A lower one
// can be forced, by DeviceOptions::isa or by the environment variable HEADROOM_ISA when the option says "auto"; a
// higher one than the machine has is an error. The choice holds for the whole process, because oneDNN keeps one limit
// per process: the first device makes it, and a later device that asks for another is refused with FAILED_PRECONDITION.
//
// Threads: an operation uses one OpenMP team of threads() threads, the caller among them. All operations may be called
// from any thread; steps take turns by holding EnterLane() around a forward pass. libgomp keeps one pool per calling
// thread, so compute from few long-lived threads.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "common/compute_thread.h"
#include "common/status.h"

namespace headroom::runtime {

// Lowest first; each includes those before it.
enum class Isa : uint8_t {
  kAvx2,        // AVX2, FMA, F16C
  kAvx512,      // AVX-512 F, BW, VL, DQ
  kAvx512Bf16,  // and AVX512-BF16
  kAmx,         // and AMX-TILE, AMX-BF16
};

// "avx2", "avx512", "avx512_bf16", "amx".
const char* IsaName(Isa isa);

// Fastest instruction set of this machine; FAILED_PRECONDITION on a processor without AVX2, FMA and F16C.
absl::StatusOr<Isa> DetectIsa();

struct DeviceOptions {
  std::string kind = "cpu";
  std::string isa = "auto";  // or a name of IsaName()
  int threads = 0;           // 0: the processors that this process may run on
};

// The device-specific half of the operations (backend.h).
class Backend;

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
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  Isa isa() const { return isa_; }
  int threads() const { return threads_; }

  // One compute lane per device: hold the lock for a whole step.
  Lane EnterLane() { return Lane(lane_); }

  // For runtime/ops only.
  Backend& backend() { return *backend_; }

 private:
  Device(Isa isa, int threads, std::unique_ptr<Backend> backend);

  const Isa isa_;
  const int threads_;
  std::mutex lane_;
  std::unique_ptr<Backend> backend_;
};

// Call first thing in main(), before any thread exists: libgomp reads its settings before main, so where
// OMP_WAIT_POLICY is not set, this sets it to "passive" (a waiting team sleeps and burns no core that another role
// needs) and executes the program again, once. Returns when nothing had to be done, or when it could not be done (the
// program then runs with libgomp's defaults).
void PrepareProcess(char** argv);

}  // namespace headroom::runtime
