// Runs a test program in front of the emulated libraries and collects what it says.
#pragma once

#include <map>
#include <string>

namespace emulation {

struct ProgramResult {
  int status = 0;      // of the exit; 128 + the signal
  std::string output;  // stdout and stderr together
};

using Variables = std::map<std::string, std::string>;

// A command of the shell.
ProgramResult RunShell(const std::string& command);
// The program of build/…/emulation/programs with LD_LIBRARY_PATH set to the emulated libraries.
ProgramResult RunProgram(const std::string& program, const std::string& argument, const Variables& variables = {});
// The command line of it, for tests that start several at once.
std::string CommandLine(const std::string& program, const std::string& argument, const Variables& variables);

}  // namespace emulation
