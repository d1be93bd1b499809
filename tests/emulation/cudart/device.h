// One emulated card of this process: memory, what takes bytes of it, modules, the error that stays.
#pragma once

#include <driver_types.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tests/emulation/cudart/account.h"
#include "tests/emulation/cudart/fat_binary.h"
#include "tests/emulation/cudart/settings.h"
#include "tests/emulation/machine/device_memory.h"
#include "tests/emulation/machine/launch.h"

namespace emulation {

class Device {
 public:
  Device(int number, const Settings& settings);
  ~Device();

  // The first call of a process that needs the device makes its context. False: no room for it.
  cudaError_t UseContext();
  cudaError_t Malloc(uint64_t bytes, uint64_t* address);
  cudaError_t Free(uint64_t address);
  // Bytes that something of this process takes beside allocations: graphs, communicators.
  bool Take(uint64_t bytes) { return account_.Take(bytes); }
  void GiveBack(uint64_t bytes) { account_.GiveBack(bytes); }
  Account& account() { return account_; }

  // The kernel, its module loaded; nullptr and `error` otherwise.
  const Program* Load(const FatBinary& binary, cudaError_t* error);
  // Before a launch: local memory for every thread that can be resident is taken when a kernel needs more of it than
  // any before.
  cudaError_t ReserveLocalMemory(const Program& program, const Function& kernel);
  // What happens when the launch's turn comes.
  void Execute(const Program& program, const Function& kernel, const LaunchArguments& arguments);

  // An error after which every call fails.
  cudaError_t error() const { return error_; }
  void Break(cudaError_t error, const std::string& why);

  std::atomic<size_t> eager_binaries = 0;  // registered ones that were loaded without being asked for

  int number() const { return number_; }
  std::string Uuid() const;
  DeviceMemory& memory() { return memory_; }
  // For the reports at the end: counters by kernel, executed lines by file, instructions that no launch executed.
  void WriteCounters(FILE* to);
  void WriteCoverage(FILE* to);
  void WriteInstructions(FILE* to);

 private:
  struct Module {
    std::unique_ptr<Program> program;
    std::vector<uint64_t> hits;
    uint64_t bytes = 0;
  };

  std::vector<uint64_t>* HitsOf(const Program& program);

  const int number_;
  const Settings& settings_;
  DeviceMemory memory_;
  Account account_;
  std::mutex mutex_;      // context, modules, allocations
  std::mutex executing_;  // one launch at a time
  std::atomic<cudaError_t> error_ = cudaSuccess;
  bool context_ = false;
  uint64_t local_memory_ = 0;
  std::map<uint64_t, uint64_t> charged_;  // address → bytes taken from the account
  std::map<const FatBinary*, Module> modules_;
  std::map<std::string, Counters> counters_;
  uint64_t launches_ = 0, mallocs_ = 0;
};

// All cards, by their numbers; made at the first call.
std::vector<std::unique_ptr<Device>>& Devices();
// What CUDA_VISIBLE_DEVICES leaves of them, in its order: the program's device n is the n-th of these.
const std::vector<int>& VisibleNumbers();
// nullptr: the program sees no such device.
Device* VisibleDevice(int device);
// The program's number of a card, -1 when it does not see it.
int ProgramNumberOf(const Device& device);
// The one that owns a device address; nullptr for host memory.
Device* OwnerOf(const void* address);
Device& CurrentDevice();
void SetCurrentDevice(int number);
int CurrentDeviceNumber();

}  // namespace emulation
