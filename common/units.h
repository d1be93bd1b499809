// Bytes and counts, for people.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace headroom {

inline constexpr int64_t kMiB = int64_t{1} << 20;
inline constexpr int64_t kGiB = int64_t{1} << 30;
inline constexpr int64_t kTiB = int64_t{1} << 40;

// "4GiB" → 4294967296. Overflow, sign, fraction or unknown unit are errors.
absl::StatusOr<int64_t> ParseBytes(const std::string& text);
// 4294967296 → "4.00 GiB".
std::string FormatBytes(int64_t bytes);

// For columns of one unit.
constexpr double InGib(int64_t bytes) { return static_cast<double>(bytes) / kGiB; }

// 1234567 → "1,234,567".
std::string GroupedDigits(int64_t value);

}  // namespace headroom
