// The computations of the CPU backend, one per operation; arguments are checked already (runtime/backend.h).
#pragma once

#include "common/status.h"
#include "runtime/backend.h"
#include "runtime/cpu/context.h"
#include "runtime/cpu/onednn.h"

namespace headroom::runtime::cpu {

// linear.cc
absl::Status ComputeLinear(const Context& context, Products& products, const LinearArgs& args);
absl::StatusOr<int64_t> PrepareLinear(const Context& context, Products& products, const LinearSpec& spec);
absl::StatusOr<LinearNeeds> DescribeLinear(const Context& context, Products& products, const LinearSpec& spec);

// rows.cc
void ComputeLayerNorm(const Context& context, const LayerNormArgs& args);
void ComputeRmsNorm(const Context& context, const RmsNormArgs& args);
void ComputeGeluTanh(const Context& context, const GeluTanhArgs& args);
void ComputeSiluMul(const Context& context, const SiluMulArgs& args);
void ComputeConvert(const Context& context, const ConvertArgs& args);
void ComputeEmbeddingGather(const Context& context, const EmbeddingGatherArgs& args);
void ComputeAddGathered(const Context& context, const AddGatheredArgs& args);
void ComputeRope(const Context& context, const RopeArgs& args);

// attention.cc, paged_attention.cc
void ComputeAttention(const Context& context, const AttentionArgs& args);
void ComputePagedKvWrite(const Context& context, const PagedKvWriteArgs& args);
void ComputeCopyKvBlocks(const Context& context, const CopyKvBlocksArgs& args);
void ComputePagedAttention(const Context& context, const PagedAttentionArgs& args);

}  // namespace headroom::runtime::cpu
