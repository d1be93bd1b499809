#include "tests/emulation/programs/run_program.h"

#include <sys/wait.h>

#include <cstdio>
#include <stdexcept>

#include "common/testing/paths.h"

namespace emulation {

std::string CommandLine(const std::string& program, const std::string& argument, const Variables& variables) {
  const std::string folder = headroom::BinaryDir() + "/emulation";
  std::string line = "exec env LD_LIBRARY_PATH='" + folder + "/lib'";
  for (const auto& [name, value] : variables) line += " " + name + "='" + value + "'";
  return line + " '" + folder + "/programs/" + program + "' " + argument;
}

ProgramResult RunShell(const std::string& command) {
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot start " + command);
  ProgramResult result;
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) result.output.append(buffer, n);
  const int status = pclose(pipe);
  result.status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return result;
}

ProgramResult RunProgram(const std::string& program, const std::string& argument, const Variables& variables) {
  return RunShell(CommandLine(program, argument, variables));
}

}  // namespace emulation
