// Integer arithmetic of sizes and counts. Not for runtime/cpu/isa: what is compiled for one instruction set must not
// lend its copy of an inline function to the rest of the program.
#pragma once

#include <cstdint>

namespace headroom {

// ⌈n / unit⌉ for n ≥ 0 and unit ≥ 1, without overflow.
constexpr int64_t CeilDiv(int64_t n, int64_t unit) { return n / unit + (n % unit != 0 ? 1 : 0); }

// The smallest multiple of `unit` that is at least n. The result must fit 64 bits.
constexpr int64_t RoundUp(int64_t n, int64_t unit) { return CeilDiv(n, unit) * unit; }

}  // namespace headroom
