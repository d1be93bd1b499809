#include "common/config_fields.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "common/address.h"
#include "common/cut_text.h"

namespace headroom {
namespace {

absl::Status Bad(const ConfigScalar& scalar, const std::string& name, const std::string& wanted) {
  return absl::InvalidArgumentError(
      absl::StrCat(scalar.where, ": ", name, ": wanted ", wanted, ", got '", CutText(scalar.text, 80), "'"));
}

absl::StatusOr<int64_t> ParseInteger(const ConfigScalar& scalar, const std::string& name, int64_t min, int64_t max) {
  int64_t value = 0;
  const char* end = scalar.text.data() + scalar.text.size();
  auto [stop, error] = std::from_chars(scalar.text.data(), end, value);
  if (scalar.quoted || error != std::errc() || stop != end || value < min || value > max) {
    return Bad(scalar, name, absl::StrCat("an integer in [", min, ", ", max, "]"));
  }
  return value;
}

std::string Number(double value) {
  std::array<char, 32> text{};
  snprintf(text.data(), text.size(), "%g", value);
  return text.data();
}

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
  std::array<char, 48> text{};
  snprintf(text.data(), text.size(), "%.2f %s", std::ldexp(static_cast<double>(bytes), -kUnits[unit].shift),
           kUnits[unit].name);
  return text.data();
}

const ConfigFields::Field* ConfigFields::Find(const std::string& name) const {
  auto found = std::find_if(fields_.begin(), fields_.end(), [&](const Field& field) { return field.name == name; });
  return found == fields_.end() ? nullptr : &*found;
}

void ConfigFields::Text(const std::string& name, std::string* value, const std::string& help) {
  fields_.push_back({name, "text", *value, "", help, [value](const ConfigScalar& scalar) {
                       *value = scalar.text;
                       return absl::OkStatus();
                     }});
}

void ConfigFields::Address(const std::string& name, std::string* value, const std::string& help) {
  AddAddress(name, value, /*optional=*/false, help);
}

void ConfigFields::OptionalAddress(const std::string& name, std::string* value, const std::string& help) {
  AddAddress(name, value, /*optional=*/true, help);
}

void ConfigFields::AddAddress(const std::string& name, std::string* value, bool optional, const std::string& help) {
  const std::string bounds = optional ? "HOST:PORT or empty" : "HOST:PORT";
  fields_.push_back({name, "address", *value, bounds, help, [=](const ConfigScalar& scalar) {
                       if (!(optional && scalar.text.empty()) && !IsAddress(scalar.text)) {
                         return Bad(scalar, name, bounds + " with a port up to 65535");
                       }
                       *value = scalar.text;
                       return absl::OkStatus();
                     }});
}

void ConfigFields::Choice(const std::string& name, std::string* value, const std::vector<std::string>& allowed,
                          const std::string& help) {
  std::string list;
  for (const std::string& one : allowed) list += (list.empty() ? "" : ", ") + one;
  fields_.push_back({name, "choice", *value, list, help, [=](const ConfigScalar& scalar) {
                       if (std::find(allowed.begin(), allowed.end(), scalar.text) == allowed.end()) {
                         return Bad(scalar, name, "one of " + list);
                       }
                       *value = scalar.text;
                       return absl::OkStatus();
                     }});
}

void ConfigFields::Integer(const std::string& name, int64_t* value, int64_t min, int64_t max, const std::string& help) {
  fields_.push_back({name, "integer", absl::StrCat(*value), absl::StrCat("[", min, ", ", max, "]"), help,
                     [=](const ConfigScalar& scalar) -> absl::Status {
                       HEADROOM_ASSIGN_OR_RETURN(*value, ParseInteger(scalar, name, min, max));
                       return absl::OkStatus();
                     }});
}

void ConfigFields::OptionalInteger(const std::string& name, std::optional<int64_t>* value, int64_t min, int64_t max,
                                   const std::string& help) {
  fields_.push_back({name, "integer", *value ? absl::StrCat(**value) : "", absl::StrCat("[", min, ", ", max, "]"), help,
                     [=](const ConfigScalar& scalar) -> absl::Status {
                       HEADROOM_ASSIGN_OR_RETURN(*value, ParseInteger(scalar, name, min, max));
                       return absl::OkStatus();
                     }});
}

void ConfigFields::OptionalNumber(const std::string& name, std::optional<double>* value, double min, double max,
                                  bool min_excluded, const std::string& help) {
  const std::string bounds = (min_excluded ? "(" : "[") + Number(min) + ", " + Number(max) + "]";
  fields_.push_back({name, "number", *value ? Number(**value) : "", bounds, help, [=](const ConfigScalar& scalar) {
                       double number = 0;
                       const char* end = scalar.text.data() + scalar.text.size();
                       auto [stop, error] = std::from_chars(scalar.text.data(), end, number);
                       const bool above = min_excluded ? number > min : number >= min;
                       if (scalar.quoted || error != std::errc() || stop != end || !std::isfinite(number) || !above ||
                           number > max) {
                         return Bad(scalar, name, "a number in " + bounds);
                       }
                       *value = number;
                       return absl::OkStatus();
                     }});
}

void ConfigFields::Bytes(const std::string& name, int64_t* value, int64_t min, int64_t max, const std::string& help,
                         bool* given) {
  const std::string bounds = "[" + FormatBytes(min) + ", " + FormatBytes(max) + "]";
  fields_.push_back({name, "bytes", FormatBytes(*value), bounds, help, [=](const ConfigScalar& scalar) {
                       absl::StatusOr<int64_t> bytes = ParseBytes(scalar.text);
                       if (!bytes.ok() || *bytes < min || *bytes > max) {
                         return Bad(scalar, name, "a byte count (such as 512MiB or 4GiB) in " + bounds);
                       }
                       *value = *bytes;
                       if (given != nullptr) *given = true;
                       return absl::OkStatus();
                     }});
}

void ConfigFields::Boolean(const std::string& name, bool* value, const std::string& help) {
  fields_.push_back(
      {name, "boolean", *value ? "true" : "false", "true or false", help, [=](const ConfigScalar& scalar) {
         if (scalar.quoted || (scalar.text != "true" && scalar.text != "false")) {
           return Bad(scalar, name, "true or false");
         }
         *value = scalar.text == "true";
         return absl::OkStatus();
       }});
}

}  // namespace headroom
