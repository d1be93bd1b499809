#include "tests/emulation/machine/program.h"

#include <algorithm>
#include <cstring>

#include "tests/emulation/machine/decoder.h"
#include "tests/emulation/machine/device_memory.h"
#include "tests/emulation/machine/fault.h"
#include "tests/emulation/ptx/error.h"

namespace emulation {
namespace {

uint32_t AlignUp(uint32_t value, int64_t alignment) {
  const auto a = static_cast<uint32_t>(std::max<int64_t>(alignment, 1));
  return (value + a - 1) / a * a;
}

std::vector<Function::Parameter> PlaceParameters(const std::vector<ptx::Variable>& variables, uint32_t& end) {
  std::vector<Function::Parameter> parameters;
  for (const ptx::Variable& variable : variables) {
    end = AlignUp(end, variable.alignment);
    parameters.push_back({variable.name, end, static_cast<uint32_t>(variable.bytes)});
    end += static_cast<uint32_t>(variable.bytes);
  }
  return parameters;
}

void PlaceVariables(const ptx::Module& module, DeviceMemory& memory, Program& program, ModuleSymbols& symbols) {
  for (const ptx::Variable& variable : module.variables) {
    if (variable.space == ptx::Space::kShared) {
      if (variable.bytes == 0) {
        symbols.dynamic_shared.insert(variable.name);
        continue;
      }
      symbols.shared_bytes = AlignUp(symbols.shared_bytes, variable.alignment);
      symbols.shared[variable.name] = symbols.shared_bytes;
      symbols.shared_bytes += static_cast<uint32_t>(variable.bytes);
      continue;
    }
    if (variable.external)
      throw ptx::Error("extern variable " + variable.name + ": modules are not linked with each other");
    const uint64_t address = memory.Allocate(variable.bytes, std::max<int64_t>(variable.alignment, 256));
    if (address == 0) throw Fault(FaultKind::kLaunch, "no device memory for variable " + variable.name);
    symbols.addresses[variable.name] = address;
    program.variables[variable.name] = {address, static_cast<uint64_t>(variable.bytes),
                                        variable.space == ptx::Space::kConst};
    memory.MarkWritten(address, variable.bytes);  // what has no initial value is zero
    memset(memory.Host(address), 0, variable.bytes);
  }
}

void FillVariables(const ptx::Module& module, const DeviceMemory& memory, const Program& program,
                   const ModuleSymbols& symbols) {
  for (const ptx::Variable& variable : module.variables) {
    if (variable.initial.empty() && variable.pointers.empty()) continue;
    uint8_t* to = memory.Host(symbols.addresses.at(variable.name));
    memcpy(to, variable.initial.data(), variable.initial.size());
    for (const ptx::Variable::Pointer& pointer : variable.pointers) {
      uint64_t value = pointer.addend;
      if (const auto it = symbols.addresses.find(pointer.symbol); it != symbols.addresses.end()) {
        value += it->second;
      } else if (const auto function = program.function_index.find(pointer.symbol);
                 function != program.function_index.end()) {
        value += kFunctionWindow + function->second;
      } else {
        throw ptx::Error("initial value of " + variable.name + ": '" + pointer.symbol + "' is not known");
      }
      memcpy(to + pointer.offset, &value, sizeof value);
    }
  }
}

}  // namespace

const Function* Program::Kernel(const std::string& name) const {
  const auto it = function_index.find(name);
  return it == function_index.end() || !functions[it->second].entry ? nullptr : &functions[it->second];
}

std::unique_ptr<Program> LoadProgram(const ptx::Module& module, DeviceMemory& memory) {
  auto program = std::make_unique<Program>();
  program->files = module.files;
  program->target = module.target;
  ModuleSymbols symbols;
  PlaceVariables(module, memory, *program, symbols);
  for (const ptx::Function& source : module.functions) {
    Function& function = program->functions.emplace_back();
    function.name = source.name;
    function.entry = source.entry;
    if (source.max_threads > 0) function.max_threads = source.max_threads;
    function.required_threads = source.required_threads;
    uint32_t& end = source.entry ? function.parameter_bytes : function.local_bytes;
    function.parameters = PlaceParameters(source.parameters, end);
    function.results = PlaceParameters(source.results, end);
    function.shared_bytes = symbols.shared_bytes;
    program->function_index[source.name] = static_cast<int>(program->functions.size()) - 1;
  }
  FillVariables(module, memory, *program, symbols);
  for (size_t i = 0; i < module.functions.size(); i++) {
    if (module.functions[i].defined)
      Decoder(module, module.functions[i], symbols, *program, program->functions[i]).Decode();
  }
  return program;
}

}  // namespace emulation
