#include "memory/arena.h"

#include "common/check.h"
#include "common/status.h"
#include "memory/alignment.h"

namespace headroom::memory {

absl::StatusOr<std::unique_ptr<Arena>> Arena::Create(int64_t bytes, DeviceMemory& memory, Ledger& ledger,
                                                     const std::stop_token& stop) {
  HEADROOM_ASSIGN_OR_RETURN(const DeviceSpan reserved, memory.Reserve(bytes, stop));
  return std::unique_ptr<Arena>(new Arena(memory, reserved, ledger));
}

Arena::Arena(DeviceMemory& memory, DeviceSpan reserved, Ledger& ledger)
    : memory_(memory), reserved_(reserved), ledger_(ledger) {}

Arena::~Arena() { memory_.Release(reserved_); }

int64_t Arena::taken() const {
  const std::lock_guard lock(mutex_);
  return next_;
}

absl::StatusOr<DeviceSpan> Arena::Take(Component component, int64_t bytes) {
  HEADROOM_CHECK(InArena(component) && component != Component::kAlignment) << ComponentTitle(component);
  if (bytes < 0 || bytes > reserved_.bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("arena: ", ComponentTitle(component), " asks for ", bytes, " bytes of ", reserved_.bytes));
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
  if (AlignUp(bytes) > reserved_.bytes - next_ || padding > ledger[Component::kAlignment].planned - lost) {
    return absl::ResourceExhaustedError(absl::StrCat("arena: ", ComponentTitle(component), " asks for ", bytes,
                                                     " bytes and ", padding, " of alignment, ", reserved_.bytes - next_,
                                                     " are left"));
  }
  const DeviceSpan memory = reserved_.Sub(next_, bytes);
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
