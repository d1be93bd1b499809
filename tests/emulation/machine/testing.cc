#include "tests/emulation/machine/testing.h"

#include "tests/emulation/ptx/parser.h"

namespace emulation {

const Program& TestDevice::Load(const std::string& ptx) {
  module_ = ptx::Parse(ptx);
  program_ = LoadProgram(*module_, memory);
  hits.assign(program_->code.size(), 0);
  return *program_;
}

Counters TestDevice::Run(const std::string& name, Dim grid, Dim block, const std::vector<uint64_t>& arguments,
                         uint32_t dynamic_shared) {
  Packed packed;
  packed.block.resize(arguments.size() * sizeof(uint64_t));
  memcpy(packed.block.data(), arguments.data(), packed.block.size());
  return RunPacked(name, grid, block, packed, dynamic_shared);
}

Counters TestDevice::RunPacked(const std::string& name, Dim grid, Dim block, const Packed& packed,
                               uint32_t dynamic_shared) {
  const Function* kernel = program_->Kernel(name);
  if (kernel == nullptr) throw std::runtime_error("no kernel " + name);
  LaunchArguments arguments;
  arguments.grid = grid;
  arguments.block = block;
  arguments.parameters = packed.block;
  arguments.parameters.resize(kernel->parameter_bytes);
  arguments.dynamic_shared = dynamic_shared;
  arguments.cooperative = cooperative;
  options.hits = &hits;
  const auto note = [&] {
    for (size_t k = 0; k < hits.size(); k++) {
      if (hits[k] > 0)
        OpcodeTest::Executed().insert(program_->places[k].text.substr(0, program_->places[k].text.find('.')));
    }
  };
  try {
    const Counters counters = Launch(*program_, *kernel, arguments, memory, options);
    note();
    return counters;
  } catch (...) {
    note();
    throw;
  }
}

std::string TestDevice::Fault(const std::string& name, Dim grid, Dim block, const std::vector<uint64_t>& arguments,
                              uint32_t dynamic_shared) {
  try {
    Run(name, grid, block, arguments, dynamic_shared);
  } catch (const emulation::Fault& fault) {
    return fault.what();
  }
  ADD_FAILURE() << "kernel " << name << " ended without a fault";
  return "";
}

std::string KernelText(int parameters, const std::string& body) {
  std::string text =
      ".version 8.7\n.target sm_90\n.address_size 64\n.extern .shared .align 16 .b8 dynamic[];\n.visible .entry K(";
  for (int k = 0; k < parameters; k++) text += std::string(k > 0 ? ", " : "") + ".param .u64 p" + std::to_string(k);
  text +=
      ")\n{\n.reg .pred %q<8>;\n.reg .b16 %h<8>;\n.reg .b32 %r<32>;\n.reg .b32 %t;\n.reg .b64 %d<32>;\n.reg .b64 "
      "%p<9>;\n.reg .f32 %f<32>;\n";
  text += "mov.u32 %t, %tid.x;\n";
  for (int k = 0; k < parameters; k++)
    text += "ld.param.u64 %p" + std::to_string(k) + ", [p" + std::to_string(k) + "];\n";
  return text + body + "\nret;\n}\n";
}

std::set<std::string>& OpcodeTest::Tested() {
  static auto* const set = new std::set<std::string>();
  return *set;
}

std::set<std::string>& OpcodeTest::Executed() {
  static auto* const set = new std::set<std::string>();
  return *set;
}

void OpcodeTest::TearDown() {
  const std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
  EXPECT_TRUE(Executed().contains(name)) << "the test of " << name << " does not execute it";
}

}  // namespace emulation
