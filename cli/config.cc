// headroom config: the reference page of the configuration, or a check of a file.
#include "common/config.h"

#include <cstdio>

#include "cli/commands.h"
#include "cli/connection.h"
#include "common/flags.h"

namespace headroom::cli {

int Config(const std::vector<std::string>& arguments) {
  std::string check;
  std::vector<std::string> overrides;
  Flags flags("headroom config [flags]", "Prints the configuration reference, or checks a file.");
  flags.Text("check", &check, "YAML file to check");
  flags.Repeated("set", &overrides, "section.key=value to check with it");
  const auto rest = flags.Parse(arguments);
  if (absl::IsCancelled(rest.status())) {
    fputs(flags.Help().c_str(), stdout);
    return 0;
  }
  if (!rest.ok()) return Fail("headroom config", std::string(rest.status().message()), 2);
  if (!rest->empty()) return Fail("headroom config", "unexpected argument '" + rest->front() + "'", 2);
  if (check.empty() && overrides.empty()) {
    fputs(ConfigReference().c_str(), stdout);
    return 0;
  }
  const auto config = LoadConfig(check, overrides);
  return config.ok() ? 0 : Fail("headroom config", std::string(config.status().message()), 1);
}

}  // namespace headroom::cli
