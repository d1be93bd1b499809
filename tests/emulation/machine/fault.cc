#include "tests/emulation/machine/fault.h"

#include <cxxabi.h>

#include <cstdlib>

#include "tests/emulation/machine/warp.h"

namespace emulation {

const char* FaultName(FaultKind kind) {
  switch (kind) {
    case FaultKind::kOutOfBounds:
      return "out of bounds";
    case FaultKind::kMisaligned:
      return "misaligned";
    case FaultKind::kUninitialised:
      return "never written";
    case FaultKind::kRace:
      return "race";
    case FaultKind::kPendingCopy:
      return "cp.async pending";
    case FaultKind::kDivergence:
      return "divergence";
    case FaultKind::kBarrier:
      return "barrier";
    case FaultKind::kAssert:
      return "assertion";
    case FaultKind::kTrap:
      return "trap";
    case FaultKind::kStack:
      return "stack";
    case FaultKind::kLaunch:
      return "launch";
    case FaultKind::kNoEnd:
      return "no end";
  }
  return "fault";
}

namespace {

std::string Triple(uint32_t x, uint32_t y, uint32_t z) {
  return "(" + std::to_string(x) + "," + std::to_string(y) + "," + std::to_string(z) + ")";
}

// What the C++ name of a kernel was before the compiler folded its parameters into it.
std::string SourceForm(const std::string& name) {
  int status = 0;
  char* text = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
  std::string form = status == 0 && text != nullptr ? text : name;
  free(text);
  return form;
}

std::string SourceName(const Program& program, int number, int line) {
  const auto file = program.files.find(number);
  if (file == program.files.end()) return "unknown source";
  return file->second.substr(file->second.rfind('/') + 1) + ":" + std::to_string(line);
}

}  // namespace

std::string ThreadName(const Block& block, uint32_t thread) {
  const Dim& dim = block.launch->arguments->block;
  return Triple(thread % dim.x, thread / dim.x % dim.y, thread / dim.x / dim.y);
}

void Fail(const Warp& warp, const Instruction& instruction, int lane, FaultKind kind, const std::string& what) {
  const Program& program = *warp.launch->program;
  const Place& place = program.places[instruction.statement];
  std::string where = SourceName(program, place.source.file, place.source.line);
  if (place.source.caller_line > 0)
    where += " inlined at " + SourceName(program, place.source.caller_file, place.source.caller_line);
  const Dim& block = warp.block->id;
  throw Fault(kind, what + "; kernel " + SourceForm(warp.launch->kernel->name) + ", " + where + ", block " +
                        Triple(block.x, block.y, block.z) + ", thread " +
                        ThreadName(*warp.block, warp.index * kLanes + lane) + ", PTX line " +
                        std::to_string(place.ptx_line) + " (" + place.text + ")");
}

}  // namespace emulation
