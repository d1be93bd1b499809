// For tests of the machine: a device, buffers in it, and kernels written in PTX.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/emulation/machine/device_memory.h"
#include "tests/emulation/machine/fault.h"
#include "tests/emulation/machine/launch.h"
#include "tests/emulation/machine/pack.h"
#include "tests/emulation/machine/program.h"

namespace emulation {

class TestDevice {
 public:
  // Device memory that holds the values.
  template <class T>
  uint64_t Upload(const std::vector<T>& values) {
    const uint64_t address = memory.Allocate(values.size() * sizeof(T));
    memory.MarkWritten(address, values.size() * sizeof(T));
    memcpy(memory.Host(address), values.data(), values.size() * sizeof(T));
    return address;
  }
  // Device memory that nobody wrote.
  uint64_t Allocate(uint64_t bytes) { return memory.Allocate(bytes); }
  template <class T>
  std::vector<T> Download(uint64_t address, size_t n) {
    std::vector<T> values(n);
    memcpy(values.data(), memory.Host(address), n * sizeof(T));
    return values;
  }

  const Program& Load(const std::string& ptx);
  // Runs the kernel `name` of the module that was loaded last; every argument is 8 bytes.
  Counters Run(const std::string& name, Dim grid, Dim block, const std::vector<uint64_t>& arguments,
               uint32_t dynamic_shared = 0);
  // The same with a parameter block as the kernel declares it.
  Counters RunPacked(const std::string& name, Dim grid, Dim block, const Packed& arguments,
                     uint32_t dynamic_shared = 0);
  // Runs, expects a fault, and returns its message; "" when there was none.
  std::string Fault(const std::string& name, Dim grid, Dim block, const std::vector<uint64_t>& arguments,
                    uint32_t dynamic_shared = 0);

  DeviceMemory memory{256 << 20};
  Options options;
  bool cooperative = false;
  std::vector<uint64_t> hits;  // of the program's instructions

 private:
  std::unique_ptr<ptx::Module> module_;
  std::unique_ptr<Program> program_;
};

// Head and frame of a module with one kernel K of `parameters` 64-bit parameters p0, p1, …; `body` has %tid in %t, and
// each pK in %pK.
std::string KernelText(int parameters, const std::string& body);

// Opcodes that have a test: OPCODE_TEST(add) {…} must execute the opcode it names.
class OpcodeTest : public testing::Test {
 public:
  static std::set<std::string>& Tested();
  void SetUp() override { Executed().clear(); }
  void TearDown() override;
  static std::set<std::string>& Executed();  // by TestDevice in this test
};

#define OPCODE_TEST(name)                                                                  \
  static const bool kTested_##name = emulation::OpcodeTest::Tested().insert(#name).second; \
  TEST_F(OpcodeTest, name)

}  // namespace emulation
