// Scratch of the decode kernel: its launch, and a plan for a card that is not at hand, which knows no header of CUDA.
#pragma once

#include <cstdint>

namespace headroom::runtime::cuda {

// Blocks of a decode launch on each multiprocessor: as many as shared memory has room for on compute capability 8.0
// with heads of 128.
inline constexpr int kDecodeBlocks = 2;

// Partial results of split sequences: two a block of the decode kernel, of up to kDecodeRowsMax query rows. Whatever
// the lengths: blocks share out all keys of a step in equal parts, so that only the first and the last sequence of a
// block can be another block's as well.
inline constexpr int kDecodeRowsMax = 16;
constexpr int64_t DecodeScratchBytes(int64_t decode_blocks, int64_t head_dim) {
  return decode_blocks * 2 * int64_t{kDecodeRowsMax} * (head_dim + 2) * static_cast<int64_t>(sizeof(float));
}

}  // namespace headroom::runtime::cuda
