#include "common/config_fields.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "absl/strings/str_split.h"
#include "common/address.h"
#include "common/units.h"
#include "common/utf8.h"

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

}  // namespace

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

void ConfigFields::List(const std::string& name, std::vector<std::string>* value, const std::string& help) {
  fields_.push_back({name, "list", "", "", help, [value](const ConfigScalar& scalar) {
                       *value = absl::StrSplit(scalar.text, absl::ByAnyChar(", "), absl::SkipEmpty());
                       return absl::OkStatus();
                     }});
}

void ConfigFields::Nested(const std::string& name, ConfigFields fields, const std::string& help) {
  fields_.push_back({name, "mapping", "", "", help, nullptr, std::make_shared<const ConfigFields>(std::move(fields))});
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
                       value->clear();
                       if (optional && scalar.text.empty()) return absl::OkStatus();
                       auto address = NormalAddress(scalar.text);
                       if (!address.ok()) {
                         return Bad(scalar, name,
                                    absl::StrCat(address.status().message(), optional ? ", or empty" : ""));
                       }
                       *value = *std::move(address);
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
