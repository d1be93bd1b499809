#include "memory/ledger.h"

#include <algorithm>

#include "common/check.h"

namespace headroom::memory {
namespace {

LedgerLine& LineOf(LedgerSnapshot& state, Component component) {
  const int index = static_cast<int>(component);
  HEADROOM_CHECK(index >= 0 && index < kComponents) << "component " << index;
  return state.lines[index];
}

int64_t Add(Component component, int64_t value, int64_t delta) {
  int64_t sum = 0;
  HEADROOM_CHECK(!__builtin_add_overflow(value, delta, &sum))
      << ComponentTitle(component) << ": " << value << " + " << delta;
  return sum;
}

}  // namespace

Ledger::Ledger(int64_t device_bytes) {
  HEADROOM_CHECK(device_bytes >= 0) << device_bytes;
  state_.device_bytes = device_bytes;
}

void Ledger::SetPlanned(Component component, int64_t bytes) {
  const std::lock_guard lock(mutex_);
  LedgerLine& line = LineOf(state_, component);
  HEADROOM_CHECK(bytes >= line.reserved) << ComponentTitle(component) << ": plan of " << bytes << " below the reserved "
                                         << line.reserved;
  const int64_t total = Add(component, state_.total.planned - line.planned, bytes);
  HEADROOM_CHECK(total <= state_.device_bytes)
      << ComponentTitle(component) << ": plans of " << total << " on a device of " << state_.device_bytes;
  line.planned = bytes;
  state_.total.planned = total;
}

void Ledger::AddReserved(Component component, int64_t delta) {
  const std::lock_guard lock(mutex_);
  LedgerLine& line = LineOf(state_, component);
  const int64_t reserved = Add(component, line.reserved, delta);
  HEADROOM_CHECK(reserved >= line.used && reserved <= line.planned)
      << ComponentTitle(component) << ": reserved would be " << reserved << ", used " << line.used << ", planned "
      << line.planned;
  line.reserved = reserved;
  state_.total.reserved += delta;
}

void Ledger::AddUsed(Component component, int64_t delta) {
  const std::lock_guard lock(mutex_);
  LedgerLine& line = LineOf(state_, component);
  const int64_t used = Add(component, line.used, delta);
  HEADROOM_CHECK(used >= 0 && used <= line.reserved)
      << ComponentTitle(component) << ": used would be " << used << ", reserved " << line.reserved;
  line.used = used;
  line.high_water = std::max(line.high_water, used);
  state_.total.used += delta;
  state_.total.high_water = std::max(state_.total.high_water, state_.total.used);
}

LedgerSnapshot Ledger::Snapshot() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

}  // namespace headroom::memory
