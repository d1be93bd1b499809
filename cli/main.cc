// headroom: the command line of Headroom.
#include <array>
#include <cstdio>
#include <cstring>

#include "cli/commands.h"
#include "common/version.h"
#include "runtime/device.h"

namespace {

using headroom::cli::Ask;
using headroom::cli::Config;
using headroom::cli::DescribeApi;
using headroom::cli::ExplainCommand;
using headroom::cli::ListMetrics;
using headroom::cli::ListReasons;
using headroom::cli::Plan;
using headroom::cli::Status;
using headroom::cli::Up;

struct Command {
  const char* name;
  int (*run)(const std::vector<std::string>&);
  const char* help;
};

constexpr std::array<Command, 9> kCommands = {{
    {"up", Up, "starts all four services in this process"},
    {"ask", Ask, "asks a running cluster a question, with pictures or without"},
    {"status", Status, "services, memory and load of a running cluster"},
    {"plan", Plan, "where the memory of a device would go, without the device"},
    {"explain", ExplainCommand,
     "who held how much at a past moment, why a request was refused, how a plan's line comes about"},
    {"metrics", ListMetrics, "reference of the metrics that the services export"},
    {"api", DescribeApi, "reference of the HTTP API"},
    {"reasons", ListReasons, "reference of the reasons that requests are refused with"},
    {"config", Config, "configuration reference; checks a file"},
}};

int Usage(FILE* out, int exit_status) {
  fprintf(out, "usage: headroom COMMAND [flags]; headroom COMMAND --help says more\n\n");
  for (const Command& command : kCommands) fprintf(out, "  %-8s %s\n", command.name, command.help);
  return exit_status;
}

}  // namespace

// What could not be written was not said: `headroom plan … > FILE` on a full disk must not look like a plan that fits.
int Flushed(int exit_status) {
  if (fflush(stdout) == 0 && ferror(stdout) == 0) return exit_status;
  fprintf(stderr, "headroom: standard output cannot be written\n");
  return exit_status == 0 ? 1 : exit_status;
}

int main(int argc, char** argv) {
  headroom::runtime::PrepareProcess(argv);
  if (argc < 2) return Usage(stderr, 2);
  if (strcmp(argv[1], "--version") == 0) return puts(headroom::kVersion), 0;
  if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) return Usage(stdout, 0);
  for (const Command& command : kCommands) {
    if (strcmp(argv[1], command.name) == 0) return Flushed(command.run({argv + 2, argv + argc}));
  }
  fprintf(stderr, "headroom: unknown command '%s'\n", argv[1]);
  return Usage(stderr, 2);
}
