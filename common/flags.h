// Command-line flags of the binaries: declared once, which gives parsing, errors and --help.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/status.h"

namespace headroom {

class Flags {
 public:
  // `usage`: the line after the program's name, e.g. "ask [flags] [PROMPT]".
  Flags(std::string usage, std::string description) : usage_(std::move(usage)), description_(std::move(description)) {}

  void Text(const std::string& name, std::string* value, const std::string& help);
  // As in common/address.h.
  void Address(const std::string& name, std::string* value, const std::string& help);
  void Repeated(const std::string& name, std::vector<std::string>* values, const std::string& help);
  void OptionalInteger(const std::string& name, std::optional<int64_t>* value, const std::string& help);
  void OptionalNumber(const std::string& name, std::optional<double>* value, const std::string& help);
  void Switch(const std::string& name, bool* value, const std::string& help);

  // Accepts --name value, --name=value and, for switches, --name. What is left over is returned; after "--" everything
  // is. INVALID_ARGUMENT for unknown flags and bad values; CANCELLED when --help was given (print Help() and exit 0).
  absl::StatusOr<std::vector<std::string>> Parse(const std::vector<std::string>& arguments);
  std::string Help() const;

 private:
  struct Flag {
    std::string name;
    std::string help;
    bool takes_value;
    std::function<absl::Status(const std::string&)> set;
  };

  std::string usage_;
  std::string description_;
  std::vector<Flag> flags_;
};

}  // namespace headroom
