// The machine as the device of workloads, and the kernels of this folder for it.
#pragma once

#include <string>

#include "tests/emulation/kernels/kernel_device.h"
#include "tests/emulation/machine/testing.h"

namespace emulation {

// Runs what the test device has loaded.
class MachineDevice : public KernelDevice {
 public:
  explicit MachineDevice(TestDevice& device) : device_(device) {}

  uint64_t Allocate(uint64_t bytes) override { return device_.Allocate(bytes); }
  void Run(const std::string& kernel, Dim grid, Dim block, const Packed& arguments, uint32_t dynamic_shared) override {
    counters += device_.RunPacked(kernel, grid, block, arguments, dynamic_shared);
  }

  Counters counters;  // of all runs

 protected:
  void Write(uint64_t to, const void* from, size_t bytes) override {
    device_.memory.MarkWritten(to, bytes);
    memcpy(device_.memory.Host(to), from, bytes);
  }
  void Read(uint64_t from, void* to, size_t bytes, const char*, Closeness) override {
    memcpy(to, device_.memory.Host(from), bytes);
  }

 private:
  TestDevice& device_;
};

// The PTX of kernels/NAME.cu for sm_ARCHITECTURE, as the build has left it.
std::string KernelPtx(const std::string& name, int architecture = 80);

}  // namespace emulation
