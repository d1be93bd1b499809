// Instruction sets of the CPU backend.
#pragma once

#include <cstdint>
#include <string>

#include "common/status.h"

namespace headroom::runtime::cpu {

// Lowest first; each includes those before it.
enum class Isa : uint8_t {
  kAvx2,        // AVX2, FMA, F16C
  kAvx512,      // AVX-512 F, BW, VL, DQ
  kAvx512Bf16,  // and AVX512-BF16
  kAmx,         // and AMX-TILE, AMX-BF16
};

// "avx2", "avx512", "avx512_bf16", "amx".
const char* IsaName(Isa isa);

// Fastest instruction set of this machine; FAILED_PRECONDITION on a processor without AVX2, FMA and F16C.
absl::StatusOr<Isa> DetectIsa();

// `wanted`: a name, or "auto": what the environment variable HEADROOM_ISA says, else the fastest. The choice holds for
// the whole process, because oneDNN keeps one limit per process: the first one makes it. INVALID_ARGUMENT: an unknown
// name. FAILED_PRECONDITION: the machine lacks it, or this process already computes with another one.
absl::StatusOr<Isa> FixIsaOfProcess(const std::string& wanted);

}  // namespace headroom::runtime::cpu
