// The resampler: one cross-attention of query_num learned queries to the patches of each piece, so that every piece
// becomes query_num rows of the language model's width, as in MiniCPM-V 2.6.
//
//   Y = LN_kv(X·Wkvᵀ);  K = (Y + position)·Wkᵀ + bk;  V = Y·Wvᵀ + bv
//   R = LN_post(attention(Q, K, V)·Woᵀ + bo) · proj,  Q = LN_q(query)·Wqᵀ + bq computed once
#pragma once

#include <cstdint>
#include <vector>

#include "common/status.h"
#include "memory/plan.h"
#include "model/spec.h"
#include "runtime/matrix.h"
#include "runtime/ops/linear.h"
#include "runtime/step.h"

namespace headroom::vision_worker {

// Not thread-safe. Works in the step workspace of the encoder; the weights' part is kResampler.
class Resampler {
 public:
  Resampler(const model::ModelSpec& config, const memory::Plan& plan, runtime::DeviceSpan weights,
            runtime::DeviceSpan workspace);

  // After the weights are there.
  void ComputeQueries(runtime::Step& step);

  // X = layout.normed, the patches of all pieces below one another, the largest side `side`. Returns f32
  // [pieces · query_num, E]. The caller has checked that the step fits the layout, and the inputs of the step are
  // there.
  runtime::Matrix Run(runtime::Step& step, int64_t pieces, int64_t patches, int64_t side);

  // Products alone, over whatever lies in the workspace: those of so many rows of patches, or of queries.
  void MultiplyPatches(runtime::Step& step, int64_t rows);
  void MultiplyQueries(runtime::Step& step, int64_t rows);

  // Every product of a step.
  static std::vector<runtime::LinearSpec> LinearSpecs(const model::ModelSpec& config, DType compute, int64_t patches,
                                                      int64_t pieces);

 private:
  using FloatArray = runtime::DeviceArray<const float>;
  struct Norm {
    FloatArray gain, bias;
  };
  void Project(runtime::Step& step, int64_t patches);
  void ProjectIn(runtime::Step& step, int64_t which, const runtime::Matrix& x, const runtime::Matrix& y);
  void ProjectOut(runtime::Step& step, const runtime::Matrix& pooled, const runtime::Matrix& y);
  runtime::Matrix Embed(runtime::Step& step, const runtime::Matrix& x);
  void AddPositions(runtime::Step& step, const runtime::Matrix& y, int64_t side);
  void Attend(runtime::Step& step, int64_t pieces, int64_t patches, const runtime::Matrix& pooled);
  void Normalize(runtime::Step& step, const Norm& norm, const runtime::ConstMatrix& x, const runtime::Matrix& y);
  runtime::Matrix View(const memory::StepBuffer& buffer, int64_t rows) const;
  runtime::DeviceSpan LinearScratch() const;

  const memory::VisionStepLayout layout_;
  const int64_t width_;  // E
  const int64_t query_num_;
  const int64_t heads_;
  const float eps_;
  const runtime::DeviceSpan workspace_;

  runtime::ConstMatrix query_, kv_proj_, in_proj_, out_proj_, proj_;
  FloatArray in_proj_bias_, out_proj_bias_;
  Norm norm_q_, norm_kv_, norm_post_;
  runtime::Matrix q_;  // f32 [query_num, E]
};

}  // namespace headroom::vision_worker
