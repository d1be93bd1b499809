// Each kernel of this folder with inputs that make every line of it matter, and its reference in double. Used by the
// tests of the kernels and of the planted bugs, and by `record`, which runs on a card, too.
#pragma once

#include <string>
#include <vector>

#include "tests/emulation/kernels/kernel_device.h"

namespace emulation {

struct Inputs {
  int size = 1;  // scales the work
  int seed = 0;  // of the values
};

// bf16 results are within this of the reference, relative to the scale of the values.
constexpr double kErrorMax = 0.01;

// The largest difference from the reference. `kernel`: the name in the module that the device has loaded, which differs
// from the file's for planted bugs.
double RunRowNorm(KernelDevice& device, const std::string& kernel, Inputs inputs = {});
double RunPagedAttention(KernelDevice& device, const std::string& kernel, Inputs inputs = {});
double RunFlashAttention(KernelDevice& device, const std::string& kernel, Inputs inputs = {});
// Twice: what the first run counts is set back for the second.
double RunSumByLastBlock(KernelDevice& device, const std::string& kernel, Inputs inputs = {});
double RunHistogram(KernelDevice& device, const std::string& kernel, Inputs inputs = {});
double RunCalls(KernelDevice& device, const std::string& kernel, Inputs inputs = {});

struct Workload {
  const char* kernel;  // the unchanged one
  double (*run)(KernelDevice& device, const std::string& kernel, Inputs inputs);
};
const std::vector<Workload>& Workloads();
const Workload& WorkloadOf(const std::string& kernel);

}  // namespace emulation
