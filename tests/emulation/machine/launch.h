// Runs a kernel on one host thread, block by block and warp by warp.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tests/emulation/machine/program.h"

namespace emulation {

struct Dim {
  uint32_t x = 1, y = 1, z = 1;
  uint64_t Count() const { return uint64_t{x} * y * z; }
};

struct Options {
  bool checked = true;       // races, never-written reads, pending copies; bounds and alignment are always checked
  bool count = false;        // sectors and waves
  uint64_t seed = 0;         // order of blocks and warps; 0: ascending
  bool split_warps = false;  // lanes that diverged run in random order and never join but where PTX says so
  uint64_t instructions_max = 1ull << 40;  // of a launch
  // Blocks begin in shuffled order within as many, and as many are alive at once when they wait for each other. All of
  // a cooperative launch.
  uint32_t resident_blocks = 64;
  std::vector<uint64_t>* hits = nullptr;          // coverage: executions of each instruction of the program
  std::function<void(const std::string&)> print;  // device printf; stdout when empty
};

struct LaunchArguments {
  Dim grid, block;
  std::vector<uint8_t> parameters;  // the kernel's parameter block
  uint32_t dynamic_shared = 0;
  bool cooperative = false;
};

// What a profiler would show, and deterministic.
struct Counters {
  uint64_t warp_instructions = 0;
  uint64_t global_requests = 0;       // warp-level accesses to global memory
  uint64_t global_sectors = 0;        // 32-byte sectors that they touch
  uint64_t global_ideal_sectors = 0;  // sectors that as many bytes would need, packed
  uint64_t shared_requests = 0;       // in groups of lanes that bank width allows in one wave
  uint64_t shared_waves = 0;
  uint64_t matrix_requests = 0;  // 8x8 matrices of ldmatrix
  uint64_t matrix_waves = 0;
  uint64_t launches = 0;

  Counters& operator+=(const Counters& other);
};

// Throws Fault for what the kernel does wrong.
Counters Launch(const Program& program, const Function& kernel, const LaunchArguments& arguments, DeviceMemory& memory,
                const Options& options);

}  // namespace emulation
