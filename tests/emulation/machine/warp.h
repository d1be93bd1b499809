// The state of a launch while it runs: launch → block → warp → fragments of lanes.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/emulation/machine/device_memory.h"
#include "tests/emulation/machine/fault.h"
#include "tests/emulation/machine/global_shadow.h"
#include "tests/emulation/machine/instruction.h"
#include "tests/emulation/machine/launch.h"
#include "tests/emulation/machine/program.h"
#include "tests/emulation/machine/shared_shadow.h"

namespace emulation {

struct FreeAligned {
  void operator()(void* p) const { free(p); }
};

// One call of a function by some lanes of a warp.
struct Frame {
  const Function* function = nullptr;
  std::unique_ptr<uint8_t, FreeAligned> registers;
  Frame* caller = nullptr;
  int call = -1;             // the call instruction in the caller
  Mask inside = 0;           // lanes that have not returned
  uint32_t local_begin = 0;  // of the frame in each lane's local memory
  int depth = 0;
};

// Lanes that run together.
struct Fragment {
  int pc = 0;
  Mask mask = 0;
  Frame* frame = nullptr;
  bool waiting = false;  // at an instruction that needs lanes which are elsewhere
};

// A cp.async that was issued and not awaited. It happens as late as allowed: at the wait that covers it.
struct AsyncCopy {
  uint64_t source;
  uint32_t target;
  uint16_t bytes, source_bytes;
  uint8_t lane;
  uint32_t group;
  uint64_t serial;  // counts the warp's copies
};

struct Block;
struct LaunchState;

struct Warp {
  uint8_t* registers = nullptr;  // of the frame that runs
  Frame* frame = nullptr;
  Block* block = nullptr;
  LaunchState* launch = nullptr;
  int index = 0;
  Mask live = 0;  // lanes that exist
  Mask exited = 0;
  std::vector<Fragment> fragments;
  std::vector<std::unique_ptr<Frame>> frames;       // frames[0] is the kernel's
  std::vector<std::unique_ptr<Frame>> free_frames;  // of functions that have returned
  std::vector<uint8_t> local;                       // lane after lane
  uint32_t local_stride = 0;
  std::vector<AsyncCopy> copies;
  uint32_t open_group[kLanes] = {};  // number of the cp.async group that a lane fills
  uint64_t copy_serial = 0;
  Mask carry_flag = 0;    // of `add` with .cc and its kin
  uint64_t executed = 0;  // instructions
  uint32_t polls = 0;     // strong loads: loops around them wait for another block
  bool yield = false;     // the rest of the turn would be waiting
  bool rotate = false;    // the last turn ended by its limit: let other lanes run first
  // At a barrier: which, where, and what bar.red collects.
  int barrier = -1;
  const Instruction* barrier_instruction = nullptr;
};

// One of the 16 barriers of a block.
struct Barrier {
  int expected = 0;           // threads, 0: all of the block
  int arrived = 0;            // threads
  std::vector<int> arrivals;  // warps that came by bar.arrive
  int votes = 0, voters = 0;  // bar.red: threads whose predicate holds
};

// An arrival that cp.async.mbarrier.arrive promised for when the lane's copies up to `serial` have landed.
struct PromisedArrival {
  int warp;
  int lane;
  uint64_t serial;
};

// What the arrivals at an mbarrier order, see SharedShadow::Release.
struct MbarrierOrder {
  std::vector<uint32_t> collecting, completed;
};

struct Block {
  LaunchState* launch = nullptr;
  Dim id;
  uint32_t number = 0;
  std::vector<uint8_t> shared;
  SharedShadow shadow;
  std::vector<Warp> warps;
  Barrier barriers[16];
  // By the address of the mbarrier.
  std::map<uint32_t, std::vector<PromisedArrival>> promises;
  std::map<uint32_t, MbarrierOrder> orders;
};

struct LaunchState {
  const Program* program = nullptr;
  const Function* kernel = nullptr;
  DeviceMemory* memory = nullptr;
  const Options* options = nullptr;
  const LaunchArguments* arguments = nullptr;
  uint32_t threads = 0, warps = 0;
  uint32_t dynamic_begin = 0;  // of dynamic shared memory
  uint32_t shared_bytes = 0;
  DeviceMemory::Range ranges[16];  // the last ones that were touched, see LastRange()
  uint64_t grid_workspace = 0;
  GlobalShadow shadow;
  Counters counters;
  uint64_t random = 1;

  uint64_t Random();
};

// Throws a Fault that names kernel, source line, block and thread.
[[noreturn]] void Fail(const Warp& warp, const Instruction& instruction, int lane, FaultKind kind,
                       const std::string& what);
std::string ThreadName(const Block& block, uint32_t thread);

template <class T>
T* Lanes(const Warp& warp, Reg reg) {
  return reinterpret_cast<T*>(warp.registers + reg);
}

inline Mask& Predicate(const Warp& warp, Reg reg) { return *Lanes<Mask>(warp, reg); }

inline void SetPredicate(const Warp& warp, Reg reg, Mask mask, Mask value) {
  Mask& p = Predicate(warp, reg);
  p = (p & ~mask) | (value & mask);
}

}  // namespace emulation
