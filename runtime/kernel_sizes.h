// What the kernels of a device take, as a plan asks for it: closed forms that build nothing, answered from any thread.
// A backend answers for the device that it computes on, cuda/card_sizes.h for a card that is not at hand.
#pragma once

#include <cstdint>

#include "common/status.h"
#include "runtime/ops/linear.h"

namespace headroom::runtime {

class KernelSizes {
 public:
  virtual ~KernelSizes() = default;

  // runtime/ops/linear.h has both. `spec` is checked and has its strides filled in: ask DescribeLinear there.
  virtual int64_t LinearRows(int64_t rows) const = 0;
  virtual absl::StatusOr<LinearNeeds> DescribeLinear(const LinearSpec& spec) = 0;
  // Scratch of attention over heads of this size, dense or paged.
  virtual int64_t AttentionScratchBytes(int64_t head_dim) const = 0;
  // What a recording of so many launches (Device::Record) takes outside of the arena at most; 0: nothing is recorded.
  virtual int64_t RecordingBytes(int64_t) const { return 0; }
};

}  // namespace headroom::runtime
