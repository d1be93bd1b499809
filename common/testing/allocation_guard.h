// Test support: ends the process, with a stack trace, when a thread that computes (common/compute_thread.h)
//   - asks for more than kAllocationBytesMax in one piece (malloc and its kin, new, anonymous mmap), or
//   - holds, at any moment of one step, more than that beyond what it held when the step began.
//
// A shared library: linked to test programs (headroom_test(… GUARDED)), preloaded into servers
// (LD_PRELOAD=libheadroom_allocation_guard.so). It replaces glibc's malloc with itself and a counter; under a
// sanitizer, which owns malloc, it listens to the sanitizer's hooks instead, and mmap is not seen there.
//
// HEADROOM_ALLOCATION_GUARD=off: it only counts. An emulated card keeps what it will do later in the host memory of the
// thread that asks for it.
//
// What glibc maps by itself for a new thread's stack is not seen.
#pragma once

#include <cstdint>

namespace headroom {

inline constexpr int64_t kAllocationBytesMax = int64_t{1} << 20;

// Whether the library is in this process and sees allocations: a test that relies on it checks this first.
bool AllocationGuardWorks();
// Allocations that the guard looked at on marked threads since start.
int64_t GuardedAllocations();

}  // namespace headroom
