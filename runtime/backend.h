// Backend: what a kind of device computes, one Run() per operation. runtime/ops checks the arguments and calls it; so
// an implementation may trust shapes, dtypes, strides and scratch sizes as the headers of runtime/ops promise them, and
// what lies on the device (indices, segments, block tables) as whoever built it promises. Run() may return before the
// work is done (device.h).
#pragma once

#include "common/status.h"
#include "runtime/kernel_sizes.h"
#include "runtime/ops/attention.h"
#include "runtime/ops/elementwise.h"
#include "runtime/ops/gather.h"
#include "runtime/ops/linear.h"
#include "runtime/ops/norm.h"
#include "runtime/ops/paged_attention.h"
#include "runtime/ops/positions.h"
#include "runtime/ops/rope.h"
#include "runtime/ops/sample.h"

namespace headroom::runtime {

class Backend : public KernelSizes {
 public:
  virtual absl::StatusOr<int64_t> PrepareLinear(const LinearSpec& spec) = 0;

  virtual absl::Status Run(const LinearArgs& args) = 0;
  virtual absl::Status Run(const LayerNormArgs& args) = 0;
  virtual absl::Status Run(const RmsNormArgs& args) = 0;
  virtual absl::Status Run(const GeluTanhArgs& args) = 0;
  virtual absl::Status Run(const GeluErfArgs& args) = 0;
  virtual absl::Status Run(const SiluMulArgs& args) = 0;
  virtual absl::Status Run(const ConvertArgs& args) = 0;
  virtual absl::Status Run(const FindNonFiniteArgs& args) = 0;
  virtual absl::Status Run(const EmbeddingGatherArgs& args) = 0;
  virtual absl::Status Run(const AddGatheredArgs& args) = 0;
  virtual absl::Status Run(const JoinRowsArgs& args) = 0;
  virtual absl::Status Run(const SineTableArgs& args) = 0;
  virtual absl::Status Run(const AttentionArgs& args) = 0;
  virtual absl::Status Run(const RopeArgs& args) = 0;
  virtual absl::Status Run(const PagedKvWriteArgs& args) = 0;
  virtual absl::Status Run(const CopyKvBlocksArgs& args) = 0;
  virtual absl::Status Run(const PagedAttentionArgs& args) = 0;
  virtual absl::Status Run(const SampleArgs& args) = 0;
};

}  // namespace headroom::runtime
