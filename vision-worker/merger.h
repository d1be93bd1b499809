// Mergers: each merge × merge patches of the tower become one row of the language model's width.
//
//   gated (GLM-4.1V)     z = joined x·Wdownsampleᵀ + b;  y = gelu(LN(z·Wprojᵀ))
//                        gate, up = y·Wᵀ;  rows = (silu(gate) · up)·Wdownᵀ
//   lines (HunyuanOCR)   z = gelu(joined RMSNorm(x)·Wconvᵀ + b)·Wexpandᵀ + b;  tokens = RMSNorm(z·Wprojᵀ + b)
//                        rows = begin, each line of tokens with a newline behind it, end
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "common/status.h"
#include "memory/plan.h"
#include "model/spec.h"
#include "runtime/matrix.h"
#include "runtime/ops/linear.h"
#include "runtime/step.h"
#include "vision-worker/piece_encoder.h"

namespace headroom::vision_worker {

// Not thread-safe. Works in the step workspace of the encoder; the weights' part is kResampler.
class Merger {
 public:
  virtual ~Merger() = default;

  // After the weights are there: what is the same in every step.
  virtual void Prepare(runtime::Step&) {}
  // A step's inputs on the host, as they lie at the start of the workspace. Checks what it builds.
  virtual absl::Status BuildInputs(std::span<const PieceInput>, std::span<std::byte>) const { return absl::OkStatus(); }
  // x: the patches of all pieces below one another, block by block, f32 [patches, D]; it may be overwritten. Returns
  // f32 [rows, E], `rows` of all pieces. The caller has checked that the step fits the layout.
  virtual runtime::Matrix Run(runtime::Step& step, const runtime::Matrix& x, int64_t rows) = 0;
  // Products alone, over whatever lies in the workspace: those of so many tokens.
  virtual void MultiplyTokens(runtime::Step& step, int64_t tokens) = 0;
};

std::unique_ptr<Merger> CreateMerger(const model::ModelSpec& config, const memory::Plan& plan,
                                     runtime::DeviceSpan weights, runtime::DeviceSpan workspace);

// Every product of a step of so many tokens.
std::vector<runtime::LinearSpec> MergerLinearSpecs(const model::ModelSpec& config, DType compute, int64_t tokens);

}  // namespace headroom::vision_worker
