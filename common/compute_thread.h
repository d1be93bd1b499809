// Marks for threads that compute. Start is over for them: whatever they need lies in the arena or was reserved at
// start. In production a mark is one load and one branch; under common/testing/allocation_guard a marked thread that
// asks for more than the guard allows ends the process.
#pragma once

namespace headroom {

// This thread is inside one step. Scopes nest; the outermost one is the step.
class ComputeScope {
 public:
  ComputeScope();
  ~ComputeScope();
  ComputeScope(const ComputeScope&) = delete;
  ComputeScope& operator=(const ComputeScope&) = delete;
};

// This thread does nothing but compute, from now on until it ends: a member of a team. May be called again and again.
void BeComputeThread();

// Says that something is built that should have been built at start. Fatal under the guard inside a marked thread,
// nothing otherwise.
void BuiltWhileComputing(const char* what);

}  // namespace headroom
