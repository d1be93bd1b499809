// A module that was decoded for one device: its instructions, and its variables at their addresses in that device's
// memory.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/emulation/machine/instruction.h"
#include "tests/emulation/ptx/module.h"

namespace emulation {

class DeviceMemory;

enum class Special : uint8_t {
  kTidX,
  kTidY,
  kTidZ,
  kNtidX,
  kNtidY,
  kNtidZ,
  kCtaidX,
  kCtaidY,
  kCtaidZ,
  kNctaidX,
  kNctaidY,
  kNctaidZ,
  kLaneId,
  kWarpId,
  kNWarpId,
  kSmId,
  kNSmId,
  kGridId,
  kLaneMaskEq,
  kLaneMaskLt,
  kLaneMaskLe,
  kLaneMaskGt,
  kLaneMaskGe,
  kDynamicSharedBytes,
  kTotalSharedBytes,
  kZero,
  kOne,
  kGridWorkspaceHigh,
  kGridWorkspaceLow,  // of a cooperative launch: what grid-wide barriers count in
  kDynamicShared,     // where dynamic shared memory begins
  kLocalBase,         // where the frame's local memory begins; value is added
};

struct Function {
  struct Parameter {
    std::string name;
    uint32_t offset;  // in the kernel's parameter block; of a .func: in the frame's local memory
    uint32_t bytes;
  };
  struct SpecialRegister {
    Special which;
    Reg reg;
    uint8_t bytes;
    int64_t value;
  };
  std::string name;
  bool entry = false;
  int begin = -1;                  // first instruction; -1: external (vprintf, __assertfail)
  std::vector<uint8_t> registers;  // initial contents of a frame's register file: the immediates
  std::vector<SpecialRegister> specials;
  std::vector<Parameter> parameters, results;
  uint32_t parameter_bytes = 0;
  uint32_t shared_bytes =
      0;  // static; the first kSharedReserved bytes of a block belong to nobody, so that address 0 is no variable
  uint32_t local_bytes = 0;  // a lane, .param variables of calls included
  uint32_t max_threads = 1024;
  std::vector<int> required_threads;
};

constexpr uint32_t kSharedReserved = 16;

// Where an instruction comes from, for messages and coverage.
struct Place {
  ptx::Location source;
  int ptx_line = 0;
  int function = 0;
  std::string text;  // opcode
};

struct ProgramVariable {
  uint64_t address;
  uint64_t bytes;
  bool constant;
};

// What a call passes: offsets in the caller's and the callee's local memory.
struct CallSite {
  struct Copy {
    uint32_t from, to, bytes;
  };
  std::vector<Copy> arguments, results;
};

struct Program {
  std::vector<Instruction> code;
  std::vector<Place> places;  // one an instruction
  std::map<int, std::string> files;
  std::deque<Function> functions;
  std::map<std::string, int> function_index;
  std::map<std::string, ProgramVariable> variables;
  std::deque<std::vector<Reg>> lists;  // what Instruction::list points into
  std::vector<CallSite> calls;         // Instruction::value of a call
  int target = 0;

  const Function* Kernel(const std::string& name) const;
};

// Decodes every function, allocates and fills the module's variables. Throws ptx::Error for what the machine does not
// know and Fault(kLaunch) when the device has no room.
std::unique_ptr<Program> LoadProgram(const ptx::Module& module, DeviceMemory& memory);

// Addresses of functions and of shared, local and parameter memory as generic pointers: above everything that the host
// hands out.
constexpr uint64_t kFunctionWindow = 0x1000'0000'0000'0000;
constexpr uint64_t kParameterWindow = 0x2000'0000'0000'0000;
constexpr uint64_t kLocalWindow = 0x3000'0000'0000'0000;
constexpr uint64_t kSharedWindow = 0x4000'0000'0000'0000;
constexpr uint64_t kWindowBytes = 1ull << 32;

}  // namespace emulation
