// What a card computes. Each Run() lies in the file that its group names, and launches on the lane what kernels/ of the
// same name compiles.
#pragma once

#include "common/status.h"
#include "runtime/backend.h"
#include "runtime/cuda/card_sizes.h"
#include "runtime/cuda/cuda_lane.h"
#include "runtime/cuda/kernels/grid.h"
#include "runtime/cuda/products.h"

namespace headroom::runtime::cuda {

class CudaBackend : public Backend {
 public:
  CudaBackend(CudaLane& lane, Products& products, const CardProperties& card)
      : lane_(lane), products_(products), sizes_(card), grid_{lane.stream(), card.multiprocessors} {}

  // attention.cc
  int64_t AttentionScratchBytes(int64_t head_dim) const override;
  absl::Status Run(const AttentionArgs& args) override;
  absl::Status Run(const PagedAttentionArgs& args) override;

  // linear.cc
  int64_t LinearRows(int64_t rows) const override;
  absl::StatusOr<int64_t> PrepareLinear(const LinearSpec& spec) override;
  absl::StatusOr<LinearNeeds> DescribeLinear(const LinearSpec& spec) override;
  absl::Status Run(const LinearArgs& args) override;
  int64_t RecordingBytes(int64_t launches) const override { return sizes_.RecordingBytes(launches); }

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
  absl::Status Run(const RopeArgs& args) override;
  absl::Status Run(const PagedKvWriteArgs& args) override;
  absl::Status Run(const CopyKvBlocksArgs& args) override;

  // sample.cc
  absl::Status Run(const SampleArgs& args) override;

 private:
  CudaLane& lane_;
  Products& products_;
  CardSizes sizes_;
  const Grid grid_;
};

}  // namespace headroom::runtime::cuda
