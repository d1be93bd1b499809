// Backend: what a kind of device computes. runtime/ops checks the arguments and calls it; so an implementation may
// trust shapes, dtypes, strides, indices and scratch sizes as the headers of runtime/ops promise them. One
// implementation per folder: cpu/, and cuda/ (absent for now).
#pragma once

#include "common/status.h"
#include "runtime/ops/attention.h"
#include "runtime/ops/elementwise.h"
#include "runtime/ops/gather.h"
#include "runtime/ops/linear.h"
#include "runtime/ops/norm.h"
#include "runtime/ops/paged_attention.h"
#include "runtime/ops/rope.h"

namespace headroom::runtime {

class Backend {
 public:
  virtual ~Backend() = default;

  virtual absl::Status Linear(const LinearArgs& args) = 0;
  virtual absl::StatusOr<int64_t> PrepareLinear(const LinearSpec& spec) = 0;
  virtual absl::StatusOr<LinearNeeds> DescribeLinear(const LinearSpec& spec) = 0;
  virtual absl::Status LayerNorm(const LayerNormArgs& args) = 0;
  virtual absl::Status RmsNorm(const RmsNormArgs& args) = 0;
  virtual absl::Status GeluTanh(const GeluTanhArgs& args) = 0;
  virtual absl::Status SiluMul(const SiluMulArgs& args) = 0;
  virtual absl::Status Convert(const ConvertArgs& args) = 0;
  virtual absl::Status EmbeddingGather(const EmbeddingGatherArgs& args) = 0;
  virtual absl::Status AddGathered(const AddGatheredArgs& args) = 0;
  virtual absl::Status Rope(const RopeArgs& args) = 0;
  virtual absl::Status Attention(const AttentionArgs& args) = 0;
  virtual absl::Status PagedKvWrite(const PagedKvWriteArgs& args) = 0;
  virtual absl::Status CopyKvBlocks(const CopyKvBlocksArgs& args) = 0;
  virtual absl::Status PagedAttention(const PagedAttentionArgs& args) = 0;
};

}  // namespace headroom::runtime
