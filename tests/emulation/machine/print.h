// Functions of the device runtime that nvcc calls by name: vprintf and __assertfail.
#pragma once

#include <string_view>

#include "tests/emulation/machine/instruction.h"

namespace emulation {

// nullptr: not emulated.
Handler SystemCall(std::string_view name);

}  // namespace emulation
