#include "worker/device_floor.h"

#include <algorithm>
#include <string>

#include "common/log.h"

namespace headroom::worker {
namespace {

using memory::Component;

// Cards hand out memory in pages of this size.
constexpr int64_t kCardPageBytes = int64_t{2} << 20;

// What lets a start pass whose line needs `bytes`.
std::string Remedy(Component line, int64_t bytes) {
  switch (line) {
    case Component::kGraphs:
      return "set knobs.decode_graphs to false, or lower knobs.max_num_seqs";
    case Component::kContextFloor:
      return absl::StrCat("set device.context_floor to at least ", bytes, ", and the KV pool yields the difference");
    default:
      return absl::StrCat("set device.libraries to at least ", bytes, ", and the KV pool yields the difference");
  }
}

// Taken between two measurements; absent when one of them failed.
std::optional<int64_t> Between(std::optional<int64_t> before, std::optional<int64_t> after) {
  if (!before || !after) return std::nullopt;
  return *after - *before;
}

}  // namespace

absl::Status DeviceFloor::Add(Component line, const char* what, std::optional<int64_t> bytes) {
  if (!bytes) return absl::OkStatus();
  const memory::LedgerLine held = ledger_.Snapshot()[line];
  const int64_t sum = held.used + *bytes;
  Log(LogLevel::kInfo, "worker", "device memory measured")
      .With("line", memory::ComponentLabel(line))
      .With("step", what)
      .With("step_bytes", *bytes)
      .With("measured_bytes", sum)
      .With("planned_bytes", held.planned);
  if (sum > held.planned) {
    return absl::FailedPreconditionError(absl::StrCat(
        "device ", plan_.device, ": ", memory::ComponentTitle(line), ": ", what, " took ", *bytes,
        " bytes, which makes ", sum, " of ", held.planned, " planned: ", Remedy(line, sum),
        ". Where the driver does not tell of this process alone, what others took at that moment is among it"));
  }
  // A library may give back what it took for a moment.
  ledger_.AddUsed(line, std::max(*bytes, -held.used));
  return absl::OkStatus();
}

absl::Status DeviceFloor::CheckOpening() {
  const runtime::OpeningUse opening = device_.opening();
  HEADROOM_RETURN_IF_ERROR(Add(Component::kContextFloor, "context", opening.context));
  HEADROOM_RETURN_IF_ERROR(Add(Component::kContextFloor, "kernel modules", opening.modules));
  return Add(Component::kLibraries, "handles and streams", opening.libraries);
}

absl::Status DeviceFloor::ReserveArena(const Step& reserve) {
  const std::optional<int64_t> before = device_.TakenBytes();
  HEADROOM_RETURN_IF_ERROR(reserve());
  const std::optional<int64_t> taken = Between(before, device_.TakenBytes());
  if (!taken) return absl::OkStatus();
  const int64_t more = std::max<int64_t>(0, *taken - plan_.arena_bytes);
  if (more > kCardPageBytes) {
    return absl::FailedPreconditionError(
        absl::StrCat("device ", plan_.device, ": arena: its reservation took ", *taken, " bytes, planned are ",
                     plan_.arena_bytes, " and at most a page of ", kCardPageBytes,
                     ": another process took memory of the card at that moment, or its driver rounds up further; "
                     "device.memory is what can be lowered"));
  }
  return Add(Component::kLibraries, "rounding the arena to pages", more);
}

absl::Status DeviceFloor::Take(Component line, const Step& step) {
  const std::lock_guard one(step_);
  {
    const std::lock_guard lock(mutex_);
    settled_.reset();
  }
  const std::optional<int64_t> before = device_.TakenBytes();
  if (absl::Status status = step(); absl::IsResourceExhausted(status)) {
    const memory::LedgerLine held = ledger_.Snapshot()[line];
    return absl::ResourceExhaustedError(absl::StrCat(
        "device ", plan_.device, ": ", memory::ComponentTitle(line), ": a first run found no memory, with ", held.used,
        " of ", held.planned, " planned bytes taken before: ", Remedy(line, held.planned + 1), ": ", status.message()));
  } else if (!status.ok()) {
    return status;
  }
  HEADROOM_RETURN_IF_ERROR(Add(line, "a first run", Between(before, device_.TakenBytes())));
  runtime::DeviceMonitor* const monitor = device_.monitor();
  if (monitor == nullptr) return absl::OkStatus();
  const absl::StatusOr<runtime::DeviceUse> use = monitor->Use();
  const std::lock_guard lock(mutex_);
  if (use.ok() && use->own_is_told) settled_ = use->own_bytes;
  return absl::OkStatus();
}

std::optional<int64_t> DeviceFloor::SettledBytes() const {
  const std::lock_guard lock(mutex_);
  return settled_;
}

}  // namespace headroom::worker
