#include "common/units.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "absl/strings/str_format.h"
#include "common/utf8.h"

namespace headroom {
namespace {

struct Unit {
  const char* name;
  int shift;
};
constexpr std::array<Unit, 5> kUnits = {{{"", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}}};

}  // namespace

absl::StatusOr<int64_t> ParseBytes(const std::string& text) {
  size_t digits = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') ++digits;
  size_t unit_begin = digits;
  while (unit_begin < text.size() && text[unit_begin] == ' ') ++unit_begin;
  const std::string unit_name = text.substr(unit_begin);
  int64_t count = 0;
  auto [stop, error] = std::from_chars(text.data(), text.data() + digits, count);
  const auto* unit = std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& u) { return unit_name == u.name; });
  if (digits == 0 || error != std::errc() || unit == kUnits.end() || count > (INT64_MAX >> unit->shift)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", CutText(text, 80), "' is not a byte count such as 1048576, 512MiB or 4GiB"));
  }
  return count << unit->shift;
}

std::string FormatBytes(int64_t bytes) {
  const double magnitude = std::abs(static_cast<double>(bytes));
  size_t unit = 0;
  while (unit + 1 < kUnits.size() && magnitude >= std::ldexp(1.0, kUnits[unit + 1].shift)) ++unit;
  if (unit == 0) return absl::StrCat(bytes, " B");
  return absl::StrFormat("%.2f %s", std::ldexp(static_cast<double>(bytes), -kUnits[unit].shift), kUnits[unit].name);
}

std::string GroupedDigits(int64_t value) {
  std::string text = std::to_string(value);
  const int64_t first = value < 0 ? 1 : 0;
  for (auto at = static_cast<int64_t>(text.size()) - 3; at > first; at -= 3)
    text.insert(static_cast<size_t>(at), 1, ',');
  return text;
}

}  // namespace headroom
