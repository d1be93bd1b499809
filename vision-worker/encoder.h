// Encoder: the vision tower (NaViT SigLIP) and the resampler of MiniCPM-V 2.6. Pieces in, query_num embedding rows of
// the language model's width per piece out.
//
//   x = patches·Wᵀ + b + position rows
//   per layer:  x += attention(LN1(x))·Woᵀ + bo;  x += gelu(LN2(x)·W1ᵀ + b1)·W2ᵀ + b2
//   resampler(LN_post(x))
//
// One Encode() is one step. Pieces of different sizes are packed without padding; attention never crosses a piece, so
// the numbers of a piece do not depend on the others beyond the rounding of sums. Residual stream, norms, softmax and
// result are f32; products run in the compute type of the plan.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "common/status.h"
#include "memory/arena.h"
#include "memory/plan.h"
#include "model/checkpoint.h"
#include "model/image/pieces.h"
#include "model/spec.h"
#include "runtime/device.h"
#include "runtime/kernel_sizes.h"
#include "runtime/matrix.h"
#include "runtime/ops/linear.h"
#include "runtime/step.h"
#include "vision-worker/piece_encoder.h"
#include "vision-worker/resampler.h"

namespace headroom::vision_worker {

class Encoder : public PieceEncoder {
 public:
  // Takes weights and workspace from the arena as the plan says, and builds every product. `device` and `arena` must
  // outlive the encoder. INVALID_ARGUMENT when the plan has no vision role or the model no tower.
  static absl::StatusOr<std::unique_ptr<Encoder>> Create(runtime::Device& device, const model::ModelSpec& config,
                                                         const memory::Plan& plan, memory::Arena& arena);

  // Every product of a step of at most so many patches and pieces.
  static std::vector<runtime::LinearSpec> LinearSpecs(const model::ModelSpec& config, DType compute, int64_t patches,
                                                      int64_t pieces);

  // Streams the weights in and computes the queries. `progress` counts over both parts; may be empty.
  absl::Status Load(const model::Checkpoint& checkpoint, const memory::LoadProgress& progress) override;
  using PieceEncoder::Load;

  // Runs every product once at every number of rows that it will be asked for, where a device loads what it needs for
  // them late (runtime::Device::LoadsLate). After Load(), before the first Encode().
  absl::Status WarmUp() override;

  // One step; takes the device's lane itself, so the caller must not hold it. Says for each piece whether all its
  // embeddings are finite numbers. INVALID_ARGUMENT when the pieces do not fit the limits of the plan, or a matrix or
  // an output its grid.
  absl::StatusOr<std::vector<bool>> Encode(std::span<const PieceInput> pieces, const EncodeOutputs& outputs) override;

  int64_t max_patches() const override { return layout_.limits.patches; }
  int64_t max_pieces() const override { return layout_.limits.pieces; }
  int64_t RowsOf(const model::PatchGrid&) const override { return query_num_; }
  int64_t tower_width() const override { return config_.hidden_size; }
  int64_t embedding_width() const override { return embedding_width_; }

 private:
  using FloatArray = runtime::DeviceArray<const float>;
  struct Norm {
    FloatArray gain, bias;
  };
  // y = x·Wᵀ + b
  struct Affine {
    runtime::ConstMatrix weight;
    FloatArray bias;
  };
  struct Layer {
    Norm norm1;
    Affine qkv, out;
    Norm norm2;
    Affine fc1, fc2;
  };
  // Sums over the pieces of a step.
  struct Sizes {
    int64_t pieces = 0, patches = 0, side = 0;  // side: of the largest grid
  };

  Encoder(runtime::Device& device, const model::ModelSpec& config, const memory::Plan& plan);
  absl::Status TakeMemory(memory::Arena& arena, const model::ModelSpec& config, const memory::Plan& plan);
  void NameWeights();
  absl::Status CheckStep(std::span<const PieceInput> pieces, const EncodeOutputs& outputs) const;
  absl::StatusOr<Sizes> BuildInputs(std::span<const PieceInput> pieces);
  void Embed(runtime::Step& step, std::span<const PieceInput> pieces, const runtime::Matrix& x);
  void Attend(runtime::Step& step, const Layer& layer, int64_t pieces, const runtime::Matrix& x);
  void FeedForward(runtime::Step& step, const Layer& layer, const runtime::Matrix& x);
  void Normalize(runtime::Step& step, const Norm& norm, const runtime::ConstMatrix& x, const runtime::Matrix& y);
  void Multiply(runtime::Step& step, const runtime::Matrix& x, const Affine& affine, const runtime::Matrix& y,
                bool accumulate);
  void HandOut(runtime::Step& step, const runtime::Matrix& embeddings, const EncodeOutputs& outputs,
               std::span<int32_t> not_finite);
  runtime::Matrix View(const memory::StepBuffer& buffer, int64_t rows) const;

  runtime::Device& device_;
  const model::VisionConfig config_;
  const int64_t query_num_;
  const int64_t embedding_width_;
  const DType compute_;
  const memory::WeightLayout weights_;
  const memory::VisionStepLayout layout_;
  memory::DeviceMemory* memory_ = nullptr;  // of the arena
  runtime::DeviceSpan tower_memory_, resampler_memory_, workspace_;
  std::vector<std::byte> inputs_;  // of a step, as they lie at the start of the workspace
  Affine patch_embedding_{};
  runtime::ConstMatrix position_embedding_;
  std::vector<Layer> layers_;
  Norm post_norm_{};
  std::unique_ptr<Resampler> resampler_;
};

}  // namespace headroom::vision_worker
