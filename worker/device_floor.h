// What a process takes of a card beside its arena, measured line by line and held to the plan: context and kernels when
// the card is opened, the arena, what libraries load when they first compute. A line above its plan refuses the start
// with its name. What was measured stands in the ledger as the line's use.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>

#include "common/status.h"
#include "memory/ledger.h"
#include "memory/plan.h"
#include "runtime/device.h"

namespace headroom::worker {

// Thread-safe. Does nothing on a device that measures nothing (a CPU: its arena is all that is reserved).
class DeviceFloor {
 public:
  using Step = std::function<absl::Status()>;

  // What is passed outlives this object; lines outside of the arena are reserved in the ledger already.
  DeviceFloor(runtime::Device& device, const memory::Plan& plan, memory::Ledger& ledger)
      : device_(device), plan_(plan), ledger_(ledger) {}

  // FAILED_PRECONDITION, as from the next two: the line, what was measured and planned, and the key that changes it.
  absl::Status CheckOpening();
  // Around the reservation of the arena. What the card rounds it up to counts as libraries.
  absl::Status ReserveArena(const Step& reserve);
  // Around a step that takes memory of `line` for good, such as the first run of every product. One at a time.
  absl::Status Take(memory::Component line, const Step& step);

  // What this process held when the last step was over; absent while one is under way, before, and where the driver
  // does not tell of this process alone. Everything above is growth that no plan knows.
  std::optional<int64_t> SettledBytes() const;

 private:
  absl::Status Add(memory::Component line, const char* what, std::optional<int64_t> bytes);

  runtime::Device& device_;
  const memory::Plan& plan_;
  memory::Ledger& ledger_;
  std::mutex step_;  // one step, whole
  mutable std::mutex mutex_;
  std::optional<int64_t> settled_;
};

}  // namespace headroom::worker
