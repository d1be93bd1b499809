// One decoded instruction: the function that executes it for the lanes of a warp, and where its operands lie.
#pragma once

#include <cstdint>

namespace emulation {

constexpr int kLanes = 32;
using Mask = uint32_t;  // one bit a lane
constexpr Mask kAllLanes = 0xffffffffu;

// Byte offset in a frame's register file. A register is 32 consecutive lanes of 2, 4, 8 or 16 bytes; a predicate is one
// Mask. Immediates and special registers are registers that were filled beforehand. Offset 0 is a register that nobody
// reads: operands that are absent write there.
using Reg = uint32_t;

struct Warp;
struct Instruction;
using Handler = void (*)(Warp&, const Instruction&, Mask);

enum class Flow : uint8_t {
  kNext,
  kBranch,         // to target
  kBranchIndexed,  // brx.idx: a = index, list = targets
  kCall,           // target = index of the function; -1: its number is in register a
  kReturn,
  kExit,
  kConverge,  // kNext, once all lanes of the mask in register d are here
  kBarrier,   // bar.sync and its kin: ends the warp's turn
};

struct Instruction {
  Handler run = nullptr;
  Flow flow = Flow::kNext;
  bool guarded = false;
  bool guard_negated = false;
  bool wide = false;  // register a holds 64-bit addresses
  uint8_t count = 1;  // elements of the vector operand in list
  uint8_t width = 0;  // bytes a lane of the registers in list, or of register a where its type is narrower
  uint8_t mode = 0;   // what a handler wants to know: rounding, boolean operation, …
  uint8_t flags = 0;  // likewise
  Reg guard = 0;
  Reg dst = 0, dst2 = 0;
  Reg a = 0, b = 0, c = 0, d = 0;
  int32_t target = -1;
  int32_t statement = 0;  // index in Program::places
  int64_t value = 0;      // displacement of an address, or an immediate
  const Reg* list = nullptr;
};

}  // namespace emulation
