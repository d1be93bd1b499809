#include "memory/arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/arith.h"
#include "common/check.h"
#include "common/status.h"
#include "memory/alignment.h"
#include "memory/host_memory.h"

namespace headroom::memory {
namespace {

constexpr int64_t kHugePageBytes = 2 << 20;
constexpr int64_t kArenaBytesMax = int64_t{1} << 46;

std::string ErrnoText(int error) {
  return std::string(strerrordesc_np(error) ? strerrordesc_np(error) : "unknown error");
}

// Maps `bytes` (whole pages) at a multiple of the huge page size, so that the kernel can back the arena with huge
// pages.
absl::StatusOr<std::byte*> Map(int64_t bytes) {
  const int64_t mapped = bytes + kHugePageBytes;
  void* address = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) {
    return absl::ResourceExhaustedError(absl::StrCat("arena: mapping ", bytes, " bytes failed: ", ErrnoText(errno)));
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
    return absl::ResourceExhaustedError(absl::StrCat("arena: touching ", bytes, " bytes failed: ", ErrnoText(errno)));
  }
#endif
  const int64_t page = sysconf(_SC_PAGESIZE);  // kernels before 5.14
  for (int64_t offset = 0; offset < bytes; offset += page) *reinterpret_cast<volatile char*>(base + offset) = 0;
  return absl::OkStatus();
}

absl::Status Touch(std::byte* base, int64_t bytes, const std::stop_token& stop) {
  for (int64_t done = 0; done < bytes; done += kTouchBytes) {
    if (stop.stop_requested()) return absl::CancelledError("arena: stopped while memory was touched");
    HEADROOM_RETURN_IF_ERROR(TouchPart(base + done, std::min(kTouchBytes, bytes - done)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Arena>> Arena::Create(int64_t bytes, Ledger& ledger, const std::stop_token& stop) {
  if (bytes < 1 || bytes > kArenaBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("arena: ", bytes, " bytes is not between 1 and ", kArenaBytesMax));
  }
  const int64_t page = sysconf(_SC_PAGESIZE);
  const int64_t mapped = RoundUp(bytes, page);
  // Asked before anything is touched, so that too large a plan is an error and not a kill.
  const int64_t available = AvailableHostBytes();
  if (mapped > available) {
    return absl::ResourceExhaustedError(
        absl::StrCat("arena: the plan takes ", mapped, " bytes, the machine has ", available, " available"));
  }
  HEADROOM_ASSIGN_OR_RETURN(std::byte* const base, Map(mapped));
  std::unique_ptr<Arena> arena(new Arena(base, bytes, ledger));
  HEADROOM_RETURN_IF_ERROR(Touch(base, mapped, stop));
  return arena;
}

Arena::Arena(std::byte* base, int64_t bytes, Ledger& ledger) : base_(base), bytes_(bytes), ledger_(ledger) {}

Arena::~Arena() {
  const int64_t page = sysconf(_SC_PAGESIZE);
  munmap(base_, RoundUp(bytes_, page));
}

int64_t Arena::taken() const {
  const std::lock_guard lock(mutex_);
  return next_;
}

absl::StatusOr<std::span<std::byte>> Arena::Take(Component component, int64_t bytes) {
  HEADROOM_CHECK(InArena(component) && component != Component::kAlignment) << ComponentTitle(component);
  if (bytes < 0 || bytes > bytes_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("arena: ", ComponentTitle(component), " asks for ", bytes, " bytes of ", bytes_));
  }
  const std::lock_guard lock(mutex_);
  int64_t& taken_by = taken_by_[static_cast<int>(component)];
  int64_t& lost = taken_by_[static_cast<int>(Component::kAlignment)];
  const int64_t padding = AlignUp(bytes) - bytes;
  const LedgerSnapshot ledger = ledger_.Snapshot();
  if (bytes > ledger[component].planned - taken_by) {
    return absl::ResourceExhaustedError(absl::StrCat("arena: ", ComponentTitle(component), " asks for ", bytes,
                                                     " bytes, its plan has ", ledger[component].planned - taken_by,
                                                     " left"));
  }
  if (AlignUp(bytes) > bytes_ - next_ || padding > ledger[Component::kAlignment].planned - lost) {
    return absl::ResourceExhaustedError(absl::StrCat("arena: ", ComponentTitle(component), " asks for ", bytes,
                                                     " bytes and ", padding, " of alignment, ", bytes_ - next_,
                                                     " are left"));
  }
  const std::span<std::byte> memory(base_ + next_, bytes);
  next_ += AlignUp(bytes);
  taken_by += bytes;
  lost += padding;
  ledger_.AddReserved(Component::kAlignment, padding);
  ledger_.AddUsed(Component::kAlignment, padding);
  if (!IsPool(component)) {
    ledger_.AddReserved(component, bytes);
    ledger_.AddUsed(component, bytes);
  }
  return memory;
}

}  // namespace headroom::memory
