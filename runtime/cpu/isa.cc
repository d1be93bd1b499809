#include "runtime/cpu/isa.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <optional>

#include "runtime/cpu/primitives.h"

namespace headroom::runtime::cpu {
namespace {

bool Bit(uint32_t word, int bit) { return ((word >> bit) & 1u) != 0; }

struct Registers {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers Cpuid(uint32_t leaf, uint32_t subleaf) {
  Registers r;
  // Answers zero for a leaf above the processor's highest.
  if (__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return {};
  return r;
}

// Register states that the operating system saves on a task switch (XCR0).
uint64_t SavedStates() {
  uint32_t low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t{high} << 32) | low;
}

// Linux gives the tile registers only to a process that asks (arch_prctl ARCH_REQ_XCOMP_PERM, state 18: tile data).
bool MayUseTiles() {
  constexpr long kRequestPermission = 0x1023;
  constexpr long kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace

absl::StatusOr<Isa> DetectIsa() {
  const Registers one = Cpuid(1, 0);
  const Registers seven = Cpuid(7, 0);
  const bool os_saves = Bit(one.ecx, 27);
  const uint64_t states = os_saves ? SavedStates() : 0;
  const bool avx2 = (states & 0x6) == 0x6 && Bit(seven.ebx, 5) && Bit(one.ecx, 12) && Bit(one.ecx, 29);
  if (!avx2) {
    return absl::FailedPreconditionError("the CPU backend needs a processor with AVX2, FMA and F16C");
  }
  const bool avx512 =
      (states & 0xe6) == 0xe6 && Bit(seven.ebx, 16) && Bit(seven.ebx, 17) && Bit(seven.ebx, 30) && Bit(seven.ebx, 31);
  if (!avx512) return Isa::kAvx2;
  if (!Bit(Cpuid(7, 1).eax, 5)) return Isa::kAvx512;
  const bool tiles = (states & 0x60000) == 0x60000 && Bit(seven.edx, 22) && Bit(seven.edx, 24);
  return tiles && MayUseTiles() ? Isa::kAmx : Isa::kAvx512Bf16;
}

namespace {

constexpr Isa kAllIsas[] = {Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16, Isa::kAmx};

absl::StatusOr<Isa> ChooseIsa(const std::string& wanted) {
  HEADROOM_ASSIGN_OR_RETURN(const Isa present, DetectIsa());
  std::string name = wanted;
  if (name == "auto") {
    const char* forced = std::getenv("HEADROOM_ISA");
    if (forced != nullptr && *forced != '\0') name = forced;
  }
  if (name == "auto") return present;
  for (const Isa isa : kAllIsas) {
    if (name != IsaName(isa)) continue;
    if (isa > present) {
      return absl::FailedPreconditionError(
          absl::StrCat("instruction set ", name, " is forced, but this machine has ", IsaName(present), " at most"));
    }
    return isa;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown instruction set ", name, ": want auto, avx2, avx512, avx512_bf16 or amx"));
}

}  // namespace

const char* IsaName(Isa isa) {
  switch (isa) {
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx512Bf16:
      return "avx512_bf16";
    case Isa::kAmx:
      return "amx";
  }
  return "unknown";
}

absl::StatusOr<Isa> FixIsaOfProcess(const std::string& wanted) {
  static std::mutex mutex;
  static std::optional<Isa> chosen;
  HEADROOM_ASSIGN_OR_RETURN(const Isa isa, ChooseIsa(wanted));
  const std::lock_guard<std::mutex> lock(mutex);
  if (chosen.has_value()) {
    if (*chosen == isa) return isa;
    return absl::FailedPreconditionError(absl::StrCat("instruction set ", IsaName(isa),
                                                      " is wanted, but this process computes with ", IsaName(*chosen)));
  }
  HEADROOM_RETURN_IF_ERROR(Primitives::Limit(isa));
  chosen = isa;
  return isa;
}

}  // namespace headroom::runtime::cpu
