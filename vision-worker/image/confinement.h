// What a decoder process takes from itself before it reads a byte of a caller's picture.
#pragma once

#include <cstdint>

#include "vision-worker/image/sandbox_protocol.h"

namespace headroom::vision_worker {

// Drops capabilities; forbids core files, new descriptors, file growth; limits processor time; prefers this process as
// the victim when the kernel runs out of memory; installs a system-call filter that allows reading and writing open
// descriptors, memory without execution, time and exit, and kills the process for anything else. Sanitizer builds need
// more and get it, here only.
Confinement ConfineDecoder(int cpu_seconds_max, bool seccomp_required);

// Caps the address space at what is mapped now plus `bytes`. Works inside the filter, and only downwards.
bool LimitNewMemory(int64_t bytes);

}  // namespace headroom::vision_worker
