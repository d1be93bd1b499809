// headroom metrics: the reference page of what the services export.
#include <cstdio>

#include "cli/commands.h"
#include "cli/connection.h"
#include "common/flags.h"
#include "common/metric_catalogue.h"

namespace headroom::cli {

int ListMetrics(const std::vector<std::string>& arguments) {
  Flags flags("headroom metrics", "Prints the reference of the metrics that the services export.");
  const auto rest = flags.Parse(arguments);
  if (absl::IsCancelled(rest.status())) {
    fputs(flags.Help().c_str(), stdout);
    return 0;
  }
  if (!rest.ok()) return Fail("headroom metrics", std::string(rest.status().message()), 2);
  if (!rest->empty()) return Fail("headroom metrics", "unexpected argument '" + rest->front() + "'", 2);
  fputs(MetricReference().c_str(), stdout);
  return 0;
}

}  // namespace headroom::cli
