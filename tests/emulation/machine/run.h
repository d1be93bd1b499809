#pragma once

#include "tests/emulation/machine/warp.h"

namespace emulation {

enum class Stop {
  kEnd,      // all lanes have exited
  kBarrier,  // warp.barrier
  kTurn,     // the turn is over, or the rest of it would be waiting
};

// Executes a warp until one of these. Throws Fault.
Stop RunWarp(Warp& warp);

}  // namespace emulation
