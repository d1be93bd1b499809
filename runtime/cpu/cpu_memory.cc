#include "runtime/cpu/cpu_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "common/arith.h"
#include "common/status.h"
#include "memory/device_address.h"
#include "memory/host_memory.h"

namespace headroom::runtime::cpu {
namespace {

constexpr int64_t kHugePageBytes = 2 << 20;
constexpr int64_t kBytesMax = int64_t{1} << 46;

std::string ErrnoText(int error) {
  return std::string(strerrordesc_np(error) ? strerrordesc_np(error) : "unknown error");
}

// Maps `bytes` (whole pages) at a multiple of the huge page size, so that the kernel can back it with huge
// pages.
absl::StatusOr<std::byte*> Map(int64_t bytes) {
  const int64_t mapped = bytes + kHugePageBytes;
  void* address = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat("device memory: mapping ", bytes, " bytes failed: ", ErrnoText(errno)));
  }
  auto* start = static_cast<std::byte*>(address);
  const int64_t lead = (kHugePageBytes - reinterpret_cast<uintptr_t>(start) % kHugePageBytes) % kHugePageBytes;
  if (lead > 0) munmap(start, lead);
  munmap(start + lead + bytes, mapped - lead - bytes);
  madvise(start + lead, bytes, MADV_HUGEPAGE);  // a wish: without it everything works, slower
  return start + lead;
}

// Large memories take seconds.
constexpr int64_t kTouchBytes = int64_t{256} << 20;

absl::Status TouchPart(std::byte* base, int64_t bytes) {
#ifdef MADV_POPULATE_WRITE
  if (madvise(base, bytes, MADV_POPULATE_WRITE) == 0) return absl::OkStatus();
  if (errno != EINVAL) {
    return absl::ResourceExhaustedError(
        absl::StrCat("device memory: touching ", bytes, " bytes failed: ", ErrnoText(errno)));
  }
#endif
  const int64_t page = sysconf(_SC_PAGESIZE);  // kernels before 5.14
  for (int64_t offset = 0; offset < bytes; offset += page) *reinterpret_cast<volatile char*>(base + offset) = 0;
  return absl::OkStatus();
}

absl::Status Touch(std::byte* base, int64_t bytes, const std::stop_token& stop) {
  for (int64_t done = 0; done < bytes; done += kTouchBytes) {
    if (stop.stop_requested()) return absl::CancelledError("device memory: stopped while memory was touched");
    HEADROOM_RETURN_IF_ERROR(TouchPart(base + done, std::min(kTouchBytes, bytes - done)));
  }
  return absl::OkStatus();
}

int64_t WholePages(int64_t bytes) { return RoundUp(bytes, sysconf(_SC_PAGESIZE)); }

void* PointerOf(memory::DevicePtr p) {
  return reinterpret_cast<void*>(memory::DeviceAddress::Of(p));  // NOLINT(performance-no-int-to-ptr)
}

}  // namespace

absl::StatusOr<memory::DeviceSpan> CpuMemory::Reserve(int64_t bytes, const std::stop_token& stop) {
  if (bytes < 1 || bytes > kBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("device memory: ", bytes, " bytes is not between 1 and ", kBytesMax));
  }
  const int64_t mapped = WholePages(bytes);
  // Asked first, so that too large a plan is an error and not a kill.
  const int64_t available = memory::AvailableHostBytes();
  if (mapped > available) {
    return absl::ResourceExhaustedError(
        absl::StrCat("device memory: the plan takes ", mapped, " bytes, the machine has ", available, " available"));
  }
  HEADROOM_ASSIGN_OR_RETURN(std::byte* const base, Map(mapped));
  if (const absl::Status touched = Touch(base, mapped, stop); !touched.ok()) {
    munmap(base, static_cast<size_t>(mapped));
    return touched;
  }
  return memory::DeviceSpan{memory::DeviceAddress::Make(reinterpret_cast<uint64_t>(base)), bytes};
}

void CpuMemory::Release(memory::DeviceSpan memory) {
  munmap(PointerOf(memory.data), static_cast<size_t>(WholePages(memory.bytes)));
}

absl::Status CpuMemory::Write(std::span<const std::byte> from, memory::DevicePtr to) {
  if (!from.empty()) std::memcpy(PointerOf(to), from.data(), from.size());
  return absl::OkStatus();
}

absl::Status CpuMemory::Read(memory::DevicePtr from, std::span<std::byte> to) {
  if (!to.empty()) std::memcpy(to.data(), PointerOf(from), to.size());
  return absl::OkStatus();
}

}  // namespace headroom::runtime::cpu
