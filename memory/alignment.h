// How regions of device memory are placed.
#pragma once

#include "common/arith.h"

namespace headroom::memory {

// Every region starts at a multiple of this and takes one (a cache line, and what vector loads like).
inline constexpr int64_t kArenaAlignment = 64;
constexpr int64_t AlignUp(int64_t bytes) { return RoundUp(bytes, kArenaAlignment); }

}  // namespace headroom::memory
