// Why a request is refused: the closed list. The scheduler's core, the workers, the gateway, the metrics, the CLI and
// docs/refusals.md read it here. On the wire a reason travels by its name (google.rpc.ErrorInfo.reason,
// RefusalView.reason), never by a number: docs/adr/0011 says why. A name may be added; one that is there stays.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace headroom {

enum class RefusalReason : uint8_t {
  kInvalidReserve,
  kModelLimit,
  kNeverFits,
  kModelNotFound,
  kModelNotLoaded,
  kNoWorker,
  kNoScheduler,
  kDraining,
  kQueueFull,
  kWaitTooLong,
  kVoided,
  kGatewayFull,
  kNotReady,
  kNoRoom,
  kGrantNotValid,
  kEmbeddingsNotAvailable,
};

struct RefusalReasonInfo {
  RefusalReason reason;
  const char* name;  // UPPER_SNAKE_CASE
  absl::StatusCode code;
  bool retry;              // whether the same request may go through later
  const char* refused_by;  // "gateway|scheduler|worker": those that may say it
  const char* budgets;     // "a|b": what it may have been short of, as in Shortfall.budget; empty: nothing
  const char* meaning;     // one line, for people

  bool IsOf(std::string_view service) const;
  std::vector<std::string> Budgets() const;
};

// In the order of the enum.
const std::vector<RefusalReasonInfo>& RefusalReasons();
const RefusalReasonInfo& InfoOf(RefusalReason reason);
inline const char* NameOf(RefusalReason reason) { return InfoOf(reason).name; }

// Empty when this version does not know the name: a peer may be newer.
std::optional<RefusalReason> FindRefusalReason(std::string_view name);

// docs/refusals.md (`headroom reasons`).
std::string RefusalReference();

}  // namespace headroom
