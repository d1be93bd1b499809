#include "runtime/cpu/cpu_backend.h"

namespace headroom::runtime::cpu {
namespace {

const Kernels* KernelsFor(Isa isa) {
  switch (isa) {
    case Isa::kAvx2:
      return Avx2Kernels();
    case Isa::kAvx512:
      return Avx512Kernels();
    case Isa::kAvx512Bf16:
    case Isa::kAmx:
      break;
  }
  return Avx512Bf16Kernels();
}

}  // namespace

CpuBackend::CpuBackend(Isa isa, int threads, int64_t address_offset)
    : context_{isa, KernelsFor(isa), threads, HostAccess(address_offset)}, primitives_(threads) {}

}  // namespace headroom::runtime::cpu
