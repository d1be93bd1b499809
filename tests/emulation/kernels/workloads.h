// Each kernel of this folder with inputs that make every line of it matter, and its reference in double. Used by the
// tests of the kernels, of the planted bugs, and by the measurement of speed.
#pragma once

#include <string>

#include "tests/emulation/machine/testing.h"

namespace emulation {

struct Outcome {
  double error = 0;  // largest difference from the reference, relative to the scale of the values
  Counters counters;
};

// bf16 results are within this.
constexpr double kErrorMax = 0.01;

// `kernel`: the name in the module that the device has loaded, which differs from the file's for planted bugs. `size`
// scales the work.
Outcome RunRowNorm(TestDevice& device, const std::string& kernel, int size = 1);
Outcome RunPagedAttention(TestDevice& device, const std::string& kernel, int size = 1);
Outcome RunFlashAttention(TestDevice& device, const std::string& kernel, int size = 1);
Outcome RunSumByLastBlock(TestDevice& device, const std::string& kernel);
Outcome RunHistogram(TestDevice& device, const std::string& kernel);
// By the name of the unchanged kernel.
Outcome RunWorkload(TestDevice& device, const std::string& workload, const std::string& kernel);

// The PTX of kernels/NAME.cu for sm_ARCHITECTURE, as the build has left it.
std::string KernelPtx(const std::string& name, int architecture = 80);

}  // namespace emulation
