// What the kernels of a card take, from two properties of it: for the backend on a card, and for a plan without one.
// Knows no header of CUDA.
#pragma once

#include "common/arith.h"
#include "runtime/cuda/kernels/decode_scratch.h"
#include "runtime/kernel_sizes.h"
#include "runtime/row_bucket.h"

namespace headroom::runtime::cuda {

struct CardProperties {
  int capability = 0;  // 90 for 9.0
  int multiprocessors = 0;
};

// What every product of cuBLASLt gets to work in, NVIDIA's advice for cuBLAS; and what a pointer to it is a multiple
// of.
constexpr int64_t ProductWorkspaceBytes(int capability) {
  constexpr int kHopper = 90;
  return (capability >= kHopper ? int64_t{32} : int64_t{4}) << 20;
}
inline constexpr int64_t kProductWorkspaceAlignment = 256;

// Of a graph that is ready, and of each kernel in it: its arguments and how to start it. Assumed; measured at start.
inline constexpr int64_t kGraphBytes = int64_t{128} << 10;
inline constexpr int64_t kGraphLaunchBytes = int64_t{8} << 10;

class CardSizes : public KernelSizes {
 public:
  explicit CardSizes(const CardProperties& card) : card_(card) {}

  int64_t LinearRows(int64_t rows) const override { return RowBucket(rows); }
  absl::StatusOr<LinearNeeds> DescribeLinear(const LinearSpec& spec) override {
    return LinearNeeds{.scratch_bytes = spec.rows_max > 0 ? LinearScratchBytes() : 0, .library_bytes = 0};
  }
  int64_t AttentionScratchBytes(int64_t head_dim) const override {
    return DecodeScratchBytes(int64_t{kDecodeBlocks} * card_.multiprocessors, head_dim);
  }
  int64_t RecordingBytes(int64_t launches) const override { return kGraphBytes + launches * kGraphLaunchBytes; }
  // Scratch is aligned to 64 bytes, the library's workspace inside of it to more.
  int64_t LinearScratchBytes() const {
    return ProductWorkspaceBytes(card_.capability) + kProductWorkspaceAlignment - kScratchAlignment;
  }
  static constexpr int64_t kScratchAlignment = 64;

 private:
  CardProperties card_;
};

}  // namespace headroom::runtime::cuda
