// The one table of opcodes: name → how its operands and types are decoded and which handler they choose.
#pragma once

#include <span>
#include <string_view>

#include "tests/emulation/machine/decoder.h"
#include "tests/emulation/machine/instruction.h"

namespace emulation {

struct Opcode {
  std::string_view name;  // first word: "add"
  // Fills the instruction from decoder.statement(). Leaves run null with Flow::kNext when it does not know the
  // modifiers or types.
  void (*decode)(Decoder& decoder, Instruction& instruction);
};

std::span<const Opcode> Opcodes();
const Opcode* FindOpcode(std::string_view name);

}  // namespace emulation
