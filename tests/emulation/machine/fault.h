// What a kernel did wrong. Thrown by the machine, shown to the programmer, turned into an error code by the runtime
// library.
#pragma once

#include <stdexcept>
#include <string>

namespace emulation {

enum class FaultKind {
  kOutOfBounds,
  kMisaligned,
  kUninitialised,  // memory that nobody wrote
  kRace,
  kPendingCopy,  // touches what cp.async is writing, or ends with copies in flight
  kDivergence,   // a part of the warp at an instruction that needs all of it
  kBarrier,      // a barrier that others never reach, or a wrong count
  kAssert,
  kTrap,
  kStack,
  kLaunch,  // limits of the launch itself
  kNoEnd,   // more instructions than the limit
};

const char* FaultName(FaultKind kind);

struct Fault : std::runtime_error {
  Fault(FaultKind what, const std::string& message)
      : std::runtime_error(FaultName(what) + (": " + message)), kind(what) {}
  FaultKind kind;
};

}  // namespace emulation
