// Bounds of a value that a caller gave.
#pragma once

#include <cstdint>
#include <optional>

#include "common/status.h"

namespace headroom {

// INVALID_ARGUMENT "NAME: VALUE is not between MIN and MAX" outside of [min, max].
inline absl::Status CheckRange(const char* name, int64_t value, int64_t min, int64_t max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(name, ": ", value, " is not between ", min, " and ", max));
}

// The same for a value that may be absent.
inline absl::Status CheckRange(const char* name, const std::optional<int64_t>& value, int64_t min, int64_t max) {
  return value ? CheckRange(name, *value, min, max) : absl::OkStatus();
}

}  // namespace headroom
