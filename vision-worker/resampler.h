// The resampler: one cross-attention of query_num learned queries to the patches of each piece, so that every piece
// becomes query_num rows of the language model's width, as in MiniCPM-V 2.6.
//
//   Y = LN_kv(X·Wkvᵀ);  K = (Y + position)·Wkᵀ + bk;  V = Y·Wvᵀ + bv
//   R = LN_post(attention(Q, K, V)·Woᵀ + bo) · proj,  Q = LN_q(query)·Wqᵀ + bq computed once
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/status.h"
#include "memory/plan.h"
#include "model/config.h"
#include "model/image/pieces.h"
#include "runtime/device.h"
#include "runtime/matrix.h"
#include "runtime/ops/linear.h"

namespace headroom::vision_worker {

// Not thread-safe. Works in the step workspace of the encoder; the weights' part is kResampler.
class Resampler {
 public:
  Resampler(runtime::Device& device, const model::ModelConfig& config, const memory::Plan& plan,
            std::span<std::byte> weights, std::span<std::byte> workspace);

  // After the weights are there.
  absl::Status ComputeQueries();

  // X = layout.normed, the patches of all pieces below one another. Returns f32 [pieces · query_num, E]. The
  // caller has checked that the step fits the layout.
  absl::StatusOr<runtime::ConstMatrix> Run(std::span<const model::PatchGrid> pieces);

  // Every product of a step.
  static std::vector<runtime::LinearSpec> LinearSpecs(const model::ModelConfig& config, DType compute, int64_t patches,
                                                      int64_t pieces);

 private:
  struct Norm {
    const float* gain;
    const float* bias;
  };
  absl::Status Project(int64_t patches);
  absl::Status AddPositions(std::span<const model::PatchGrid> pieces, runtime::Matrix y);
  absl::Status Attend(std::span<const model::PatchGrid> pieces, runtime::Matrix pooled);
  absl::Status Normalize(const Norm& norm, const runtime::ConstMatrix& x, const runtime::Matrix& y);
  runtime::Matrix View(const memory::StepBuffer& buffer, int64_t rows) const;
  std::span<std::byte> LinearScratch() const;

  runtime::Device& device_;
  const memory::VisionStepLayout layout_;
  const int64_t width_;  // E
  const int64_t query_num_;
  const int64_t heads_;
  const float eps_;
  const std::span<std::byte> workspace_;

  runtime::ConstMatrix query_, kv_proj_, in_proj_, out_proj_, proj_;
  const float *in_proj_bias_, *out_proj_bias_;
  Norm norm_q_, norm_kv_, norm_post_;
  runtime::Matrix q_;  // f32 [query_num, E]
};

}  // namespace headroom::vision_worker
