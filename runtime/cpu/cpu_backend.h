// What the CPU computes. Each Run() lies in the file that its group names.
#pragma once

#include "common/status.h"
#include "runtime/backend.h"
#include "runtime/cpu/context.h"
#include "runtime/cpu/primitives.h"

namespace headroom::runtime::cpu {

class CpuBackend : public Backend {
 public:
  // `isa` must be present; threads ≥ 1.
  CpuBackend(Isa isa, int threads, int64_t address_offset);

  // linear.cc
  int64_t LinearRows(int64_t rows) const override;
  absl::StatusOr<int64_t> PrepareLinear(const LinearSpec& spec) override;
  absl::StatusOr<LinearNeeds> DescribeLinear(const LinearSpec& spec) override;
  absl::Status Run(const LinearArgs& args) override;

  // rows.cc
  absl::Status Run(const LayerNormArgs& args) override;
  absl::Status Run(const RmsNormArgs& args) override;
  absl::Status Run(const GeluTanhArgs& args) override;
  absl::Status Run(const GeluErfArgs& args) override;
  absl::Status Run(const SiluMulArgs& args) override;
  absl::Status Run(const ConvertArgs& args) override;
  absl::Status Run(const FindNonFiniteArgs& args) override;
  absl::Status Run(const EmbeddingGatherArgs& args) override;
  absl::Status Run(const AddGatheredArgs& args) override;
  absl::Status Run(const JoinRowsArgs& args) override;
  absl::Status Run(const SineTableArgs& args) override;

  // attention.cc
  int64_t AttentionScratchBytes(int64_t head_dim) const override;
  absl::Status Run(const AttentionArgs& args) override;

  // paged_attention.cc
  absl::Status Run(const RopeArgs& args) override;
  absl::Status Run(const PagedKvWriteArgs& args) override;
  absl::Status Run(const CopyKvBlocksArgs& args) override;
  absl::Status Run(const PagedAttentionArgs& args) override;

  // sample.cc
  absl::Status Run(const SampleArgs& args) override;

 private:
  const Context context_;
  Primitives primitives_;
};

}  // namespace headroom::runtime::cpu
