// What the machine can still give this process.
#pragma once

#include <cstdint>

namespace headroom::memory {

// Bytes: the smaller of the kernel's estimate (MemAvailable) and what the memory limits of the process's control group
// leave, where file cache counts as available. INT64_MAX where neither can be read.
int64_t AvailableHostBytes();

}  // namespace headroom::memory
