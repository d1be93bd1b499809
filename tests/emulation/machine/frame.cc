#include "tests/emulation/machine/frame.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

namespace emulation {
namespace {

// The value of a special register for one lane.
uint64_t SpecialValue(const Warp& warp, const Frame& frame, Special which, int lane) {
  const LaunchState& launch = *warp.launch;
  const Dim& dim = launch.arguments->block;
  const Dim& grid = launch.arguments->grid;
  const uint32_t thread = warp.index * kLanes + lane;
  switch (which) {
    case Special::kTidX:
      return thread % dim.x;
    case Special::kTidY:
      return thread / dim.x % dim.y;
    case Special::kTidZ:
      return thread / dim.x / dim.y;
    case Special::kNtidX:
      return dim.x;
    case Special::kNtidY:
      return dim.y;
    case Special::kNtidZ:
      return dim.z;
    case Special::kCtaidX:
      return warp.block->id.x;
    case Special::kCtaidY:
      return warp.block->id.y;
    case Special::kCtaidZ:
      return warp.block->id.z;
    case Special::kNctaidX:
      return grid.x;
    case Special::kNctaidY:
      return grid.y;
    case Special::kNctaidZ:
      return grid.z;
    case Special::kLaneId:
      return lane;
    case Special::kWarpId:
      return warp.index;
    case Special::kNWarpId:
      return launch.warps;
    case Special::kSmId:
      return warp.block->number % 16;
    case Special::kNSmId:
      return 16;
    case Special::kGridId:
    case Special::kZero:
      return 0;
    case Special::kOne:
      return 1;
    case Special::kGridWorkspaceHigh:
      return launch.grid_workspace >> 32;
    case Special::kGridWorkspaceLow:
      return launch.grid_workspace & 0xffffffff;
    case Special::kLaneMaskEq:
      return 1u << lane;
    case Special::kLaneMaskLt:
      return (1u << lane) - 1;
    case Special::kLaneMaskLe:
      return (2ull << lane) - 1;
    case Special::kLaneMaskGt:
      return static_cast<uint32_t>(~((2ull << lane) - 1));
    case Special::kLaneMaskGe:
      return ~((1u << lane) - 1);
    case Special::kDynamicSharedBytes:
      return launch.arguments->dynamic_shared;
    case Special::kTotalSharedBytes:
      return launch.shared_bytes - kSharedReserved;
    case Special::kDynamicShared:
      return launch.dynamic_begin;
    case Special::kLocalBase:
      return frame.local_begin;
  }
  return 0;
}

void CopyLocal(Warp& warp, Mask mask, uint32_t from, uint32_t to, uint32_t bytes) {
  for (int lane = 0; lane < kLanes; lane++) {
    if (mask >> lane & 1) memmove(LocalMemory(warp, lane, to), LocalMemory(warp, lane, from), bytes);
  }
}

}  // namespace

std::unique_ptr<Frame> MakeFrame(const Function& function) {
  auto frame = std::make_unique<Frame>();
  frame->function = &function;
  const size_t bytes = (function.registers.size() + 63) / 64 * 64;
  frame->registers.reset(static_cast<uint8_t*>(std::aligned_alloc(64, bytes)));
  if (!frame->registers) throw std::bad_alloc();
  memcpy(frame->registers.get(), function.registers.data(), function.registers.size());
  return frame;
}

void FillSpecials(const Warp& warp, Frame& frame) {
  for (const Function::SpecialRegister& special : frame.function->specials) {
    uint8_t* to = frame.registers.get() + special.reg;
    for (int lane = 0; lane < kLanes; lane++) {
      const uint64_t value = SpecialValue(warp, frame, special.which, lane) + special.value;
      memcpy(to + static_cast<size_t>(lane) * special.bytes, &value, special.bytes);
    }
  }
}

Frame* EnterFunction(Warp& warp, const Function& function, Frame* caller, int call, Mask mask) {
  const auto free = std::find_if(warp.free_frames.begin(), warp.free_frames.end(),
                                 [&](const std::unique_ptr<Frame>& frame) { return frame->function == &function; });
  std::unique_ptr<Frame> frame;
  if (free == warp.free_frames.end()) {
    frame = MakeFrame(function);
  } else {
    frame = std::move(*free);
    warp.free_frames.erase(free);
  }
  frame->caller = caller;
  frame->call = call;
  frame->inside = mask;
  frame->depth = caller->depth + 1;
  frame->local_begin = caller->local_begin + caller->function->local_bytes;
  const Instruction& instruction = warp.launch->program->code[call];
  if (frame->local_begin + function.local_bytes > warp.local_stride) {
    Fail(warp, instruction, std::countr_zero(mask), FaultKind::kStack,
         "call of " + function.name + " needs " + std::to_string(frame->local_begin + function.local_bytes) +
             " bytes of stack, limit " + std::to_string(warp.local_stride));
  }
  FillSpecials(warp, *frame);
  for (const CallSite::Copy& copy : warp.launch->program->calls[instruction.value].arguments) {
    CopyLocal(warp, mask, caller->local_begin + copy.from, frame->local_begin + copy.to, copy.bytes);
  }
  warp.frames.push_back(std::move(frame));
  return warp.frames.back().get();
}

void LeaveFunction(Warp& warp, Frame* frame, Mask mask) {
  const Instruction& instruction = warp.launch->program->code[frame->call];
  for (const CallSite::Copy& copy : warp.launch->program->calls[instruction.value].results) {
    CopyLocal(warp, mask, frame->local_begin + copy.from, frame->caller->local_begin + copy.to, copy.bytes);
  }
  frame->inside &= ~mask;
  if (frame->inside != 0) return;
  const auto it = std::find_if(warp.frames.begin(), warp.frames.end(),
                               [&](const std::unique_ptr<Frame>& other) { return other.get() == frame; });
  warp.free_frames.push_back(std::move(*it));
  warp.frames.erase(it);
}

}  // namespace emulation
