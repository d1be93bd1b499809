#pragma once

#include <stdexcept>

namespace emulation::ptx {

// The text is not PTX, or PTX that the machine does not know: a mistake in the kernel's build or a gap of the
// emulation, never a bug of the kernel.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace emulation::ptx
