#pragma once

#include "tests/emulation/ptx/cursor.h"
#include "tests/emulation/ptx/module.h"

namespace emulation::ptx {

// Reads a function's body from "{" to the "}" that ends it.
void ReadBody(Cursor& cursor, Function& function);

}  // namespace emulation::ptx
