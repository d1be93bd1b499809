// The live account of one device. used ≤ reserved ≤ planned holds per component at every moment; a call that would
// break it is a programmer error and aborts. Thread-safe; a snapshot is one consistent moment.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>

#include "memory/component.h"

namespace headroom::memory {

// Bytes.
struct LedgerLine {
  int64_t planned = 0;
  int64_t reserved = 0;    // promised: taken from the arena, or granted out of a pool
  int64_t used = 0;        // holding data
  int64_t high_water = 0;  // largest `used` so far
};

struct LedgerSnapshot {
  std::array<LedgerLine, kComponents> lines;
  int64_t device_bytes = 0;
  LedgerLine total;  // of the lines; high_water is the largest total `used` at one moment

  const LedgerLine& operator[](Component component) const { return lines[static_cast<int>(component)]; }
};

class Ledger {
 public:
  explicit Ledger(int64_t device_bytes);
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  // At start, before anything is reserved in this component. The planned lines together stay ≤ device_bytes.
  void SetPlanned(Component component, int64_t bytes);
  // Deltas may be negative. Reserve before use, give back use before reservation.
  void AddReserved(Component component, int64_t delta);
  void AddUsed(Component component, int64_t delta);

  LedgerSnapshot Snapshot() const;

 private:
  mutable std::mutex mutex_;
  LedgerSnapshot state_;
};

}  // namespace headroom::memory
