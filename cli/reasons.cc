// headroom reasons: the reference page of why requests are refused.
#include <cstdio>

#include "cli/commands.h"
#include "cli/connection.h"
#include "common/flags.h"
#include "common/refusal_reason.h"

namespace headroom::cli {

int ListReasons(const std::vector<std::string>& arguments) {
  Flags flags("headroom reasons", "Prints the reference of the reasons that requests are refused with.");
  const auto rest = flags.Parse(arguments);
  if (absl::IsCancelled(rest.status())) {
    fputs(flags.Help().c_str(), stdout);
    return 0;
  }
  if (!rest.ok()) return Fail("headroom reasons", std::string(rest.status().message()), 2);
  if (!rest->empty()) return Fail("headroom reasons", "unexpected argument '" + rest->front() + "'", 2);
  fputs(RefusalReference().c_str(), stdout);
  return 0;
}

}  // namespace headroom::cli
