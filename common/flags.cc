#include "common/flags.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/address.h"

namespace headroom {
namespace {

template <typename Number>
std::optional<Number> ParseWhole(const std::string& text) {
  Number number{};
  const char* end = text.data() + text.size();
  auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end) return std::nullopt;
  return number;
}

}  // namespace

void Flags::Text(const std::string& name, std::string* value, const std::string& help) {
  const std::string shown = value->empty() ? help : help + " (default " + *value + ")";
  flags_.push_back({name, shown, true, [value](const std::string& text) {
                      *value = text;
                      return absl::OkStatus();
                    }});
}

void Flags::Address(const std::string& name, std::string* value, const std::string& help) {
  flags_.push_back({name, help + " (default " + *value + ")", true, [name, value](const std::string& text) {
                      auto address = NormalAddress(text);
                      if (!address.ok()) {
                        return absl::InvalidArgumentError(
                            absl::StrCat("--", name, " wants ", address.status().message(), ", got '", text, "'"));
                      }
                      *value = *std::move(address);
                      return absl::OkStatus();
                    }});
}

void Flags::Repeated(const std::string& name, std::vector<std::string>* values, const std::string& help) {
  flags_.push_back({name, help + " (may be given several times)", true, [values](const std::string& text) {
                      values->push_back(text);
                      return absl::OkStatus();
                    }});
}

void Flags::OptionalInteger(const std::string& name, std::optional<int64_t>* value, const std::string& help) {
  flags_.push_back({name, help, true, [name, value](const std::string& text) {
                      *value = ParseWhole<int64_t>(text);
                      return *value ? absl::OkStatus()
                                    : absl::InvalidArgumentError("--" + name + " wants an integer, got '" + text + "'");
                    }});
}

void Flags::OptionalNumber(const std::string& name, std::optional<double>* value, const std::string& help) {
  flags_.push_back({name, help, true, [name, value](const std::string& text) {
                      *value = ParseWhole<double>(text);
                      return *value && std::isfinite(**value)
                                 ? absl::OkStatus()
                                 : absl::InvalidArgumentError("--" + name + " wants a number, got '" + text + "'");
                    }});
}

void Flags::Switch(const std::string& name, bool* value, const std::string& help) {
  flags_.push_back({name, help, false, [value](const std::string&) {
                      *value = true;
                      return absl::OkStatus();
                    }});
}

absl::StatusOr<std::vector<std::string>> Flags::Parse(const std::vector<std::string>& arguments) {
  std::vector<std::string> rest;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--") {
      rest.insert(rest.end(), arguments.begin() + static_cast<std::ptrdiff_t>(i) + 1, arguments.end());
      break;
    }
    if (argument == "--help" || argument == "-h") return absl::CancelledError("help");
    if (argument.rfind("--", 0) != 0) {
      rest.push_back(argument);
      continue;
    }
    const size_t equals = argument.find('=');
    const std::string name = argument.substr(2, equals == std::string::npos ? equals : equals - 2);
    const auto flag = std::find_if(flags_.begin(), flags_.end(), [&](const Flag& f) { return f.name == name; });
    if (flag == flags_.end()) return absl::InvalidArgumentError("unknown flag --" + name + "; see --help");
    std::string value;
    if (equals != std::string::npos) {
      if (!flag->takes_value) return absl::InvalidArgumentError("--" + name + " takes no value");
      value = argument.substr(equals + 1);
    } else if (flag->takes_value) {
      if (i + 1 == arguments.size()) return absl::InvalidArgumentError("--" + name + " wants a value");
      value = arguments[++i];
    }
    HEADROOM_RETURN_IF_ERROR(flag->set(value));
  }
  return rest;
}

std::string Flags::Help() const {
  std::string help = "usage: " + usage_ + "\n\n" + description_ + "\n";
  if (!flags_.empty()) help += "\n";
  size_t width = 0;
  for (const Flag& flag : flags_) width = std::max(width, flag.name.size() + (flag.takes_value ? 6 : 0));
  for (const Flag& flag : flags_) {
    std::string left = flag.name + (flag.takes_value ? " VALUE" : "");
    left.resize(width, ' ');
    help += "  --" + left + "  " + flag.help + "\n";
  }
  return help;
}

}  // namespace headroom
