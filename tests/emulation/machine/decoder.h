// Turns the statements of one function into instructions: gives every register, immediate and special register its
// place in the register file. What an opcode means is in the op_*.cc files; see opcodes.h.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/emulation/machine/program.h"
#include "tests/emulation/ptx/module.h"

namespace emulation {

// What the module's variables and functions are called, for all functions of it.
struct ModuleSymbols {
  std::map<std::string, uint64_t> addresses;  // .global and .const
  std::map<std::string, uint32_t> shared;     // module-scope .shared: offset in every block
  std::set<std::string> dynamic_shared;       // extern
  uint32_t shared_bytes = kSharedReserved;
};

class Decoder {
 public:
  Decoder(const ptx::Module& module, const ptx::Function& source, const ModuleSymbols& symbols, Program& program,
          Function& function);

  void Decode();

  // For the decode functions of the opcodes, all about the statement at hand.
  const ptx::Statement& statement() const { return *statement_; }
  const ptx::Operand& operand(size_t i) const;
  size_t operands() const { return statement_->operands.size(); }
  bool Has(std::string_view modifier) const { return statement_->Has(modifier); }
  // The type that the opcode ends with; `from_end` 1: the one before it.
  ptx::Type TypeAt(size_t from_end = 0) const;

  Reg Destination(const ptx::Operand& operand);
  // A register, or a register that holds the immediate or address for all lanes. `bytes`: size of a lane.
  Reg Source(const ptx::Operand& operand, int bytes);
  // Mask register; `negated` is told apart.
  Reg PredicateSource(const ptx::Operand& operand, bool& negated);
  bool IsPredicate(const ptx::Operand& operand) const;
  int WidthOf(const ptx::Operand& operand) const;  // bytes a lane of a register; 0 for anything else
  const Reg* List(const std::vector<ptx::Operand>& elements, int bytes);
  void Address(const ptx::Operand& operand, Instruction& i);
  Reg Constant(uint64_t value, int bytes);
  int Label(const ptx::Operand& operand);  // resolved when the function has ended: returns the statement
  // Offset of a .param variable: of the kernel's parameters, or in local memory. `local` tells which.
  uint32_t ParameterOffset(const ptx::Operand& address, bool& local) const;
  uint32_t LocalOffset(const std::string& name) const;

  [[noreturn]] void Fail(const std::string& what) const;

  const ptx::Function& source() const { return source_; }
  bool InKernel() const { return function_.entry; }
  bool IsDefined(int function) const { return module_.functions[function].defined; }
  Program& program() { return program_; }

 private:
  Reg Allocate(int bytes);
  Reg SpecialRegister(Special which, int bytes, int64_t value = 0);
  Reg Symbol(const ptx::Operand& operand, int bytes);
  void PlaceVariables();
  void DecodeStatement(int index);

  const ptx::Module& module_;
  const ptx::Function& source_;
  const ModuleSymbols& symbols_;
  Program& program_;
  Function& function_;
  const ptx::Statement* statement_ = nullptr;
  std::vector<Reg> registers_;
  std::map<std::pair<uint64_t, int>, Reg> constants_;
  std::map<std::pair<int, int64_t>, Reg> special_registers_;
  std::map<std::string, uint32_t> shared_, local_;
  int file_index_ = -1;
};

}  // namespace emulation
