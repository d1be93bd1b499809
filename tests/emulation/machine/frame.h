// Register files: made, filled with immediates and special registers, reused.
#pragma once

#include "tests/emulation/machine/warp.h"

namespace emulation {

// The frame of the kernel, once a warp and launch.
std::unique_ptr<Frame> MakeFrame(const Function& function);
// Special registers of `frame` for the warp's block. Again for each block that reuses the warp, since the block's
// number changed.
void FillSpecials(const Warp& warp, Frame& frame);

// Lanes `mask` of the caller's frame call `function`; `call` is the index of the instruction. Copies the arguments.
Frame* EnterFunction(Warp& warp, const Function& function, Frame* caller, int call, Mask mask);
// Copies the results of `mask` back to the caller; the frame is free once all lanes have returned.
void LeaveFunction(Warp& warp, Frame* frame, Mask mask);

inline uint8_t* LocalMemory(Warp& warp, int lane, uint32_t offset) {
  return warp.local.data() + size_t{warp.local_stride} * lane + offset;
}

}  // namespace emulation
