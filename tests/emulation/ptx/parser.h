#pragma once

#include <memory>
#include <string>

#include "tests/emulation/ptx/module.h"

namespace emulation::ptx {

// Throws Error, which names the line of the PTX text. The module is behind a pointer because its statements point into
// its text.
std::unique_ptr<Module> Parse(std::string text);

}  // namespace emulation::ptx
