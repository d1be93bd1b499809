// headroom api: the reference page of the HTTP API.
#include <cstdio>

#include "cli/commands.h"
#include "cli/connection.h"
#include "common/flags.h"
#include "gateway/openai/reference.h"

namespace headroom::cli {

int DescribeApi(const std::vector<std::string>& arguments) {
  Flags flags("headroom api", "Prints the reference of the HTTP API: addresses, fields, errors.");
  const auto rest = flags.Parse(arguments);
  if (absl::IsCancelled(rest.status())) {
    fputs(flags.Help().c_str(), stdout);
    return 0;
  }
  if (!rest.ok()) return Fail("headroom api", std::string(rest.status().message()), 2);
  if (!rest->empty()) return Fail("headroom api", "unexpected argument '" + rest->front() + "'", 2);
  fputs(gateway::openai::ApiReference().c_str(), stdout);
  return 0;
}

}  // namespace headroom::cli
