// Moments as people write them on a command line.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace headroom::cli {

using WallTime = std::chrono::system_clock::time_point;

// "5m", "90s", "1h30m", "250ms" → milliseconds. INVALID_ARGUMENT otherwise, and above 24 hours.
absl::StatusOr<int64_t> ParseSpanMs(const std::string& text);

// How long before `now` a moment was, in milliseconds:
//   now | -SPAN | 12:04 | 12:04:30 (local time; of yesterday when it has not come yet today)
//   2026-11-22T12:04:30Z | 2026-11-22T12:04:30.5+01:00 | 2026-11-22T12:04:30 (local time)
// INVALID_ARGUMENT for anything else, for the future and for what is over 24 hours ago.
absl::StatusOr<int64_t> ParseAgeMs(const std::string& text, WallTime now);

// "22:14:03" in local time, with the date when it is of another day than `now`.
std::string ClockText(WallTime time, WallTime now);
// "0.4 s", "12 s", "5 m 2 s", "1 h 3 m".
std::string SpanText(int64_t ms);

}  // namespace headroom::cli
