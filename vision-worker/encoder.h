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
#include <optional>
#include <span>
#include <vector>

#include "common/status.h"
#include "memory/arena.h"
#include "memory/plan.h"
#include "model/checkpoint.h"
#include "model/config.h"
#include "model/image/pieces.h"
#include "runtime/device.h"
#include "runtime/matrix.h"
#include "runtime/ops/linear.h"
#include "vision-worker/resampler.h"

namespace headroom::vision_worker {

struct PieceInput {
  model::PatchGrid grid;
  runtime::ConstMatrix patches;  // f32 [rows · cols, 3 · patch_size²], see WritePatchMatrix()
};

class Encoder {
 public:
  // Takes weights and workspace from the arena as the plan says, and builds every product. `device` and `arena` must
  // outlive the encoder. INVALID_ARGUMENT when the plan has no vision role or the model no tower.
  static absl::StatusOr<std::unique_ptr<Encoder>> Create(runtime::Device& device, const model::ModelConfig& config,
                                                         const memory::Plan& plan, memory::Arena& arena);

  // Streams the weights in and computes the queries. `progress` counts over both parts; may be empty.
  absl::Status Load(const model::Checkpoint& checkpoint, const memory::LoadProgress& progress = {});

  // One step; takes the device's lane itself, so the caller must not hold it. Returns f32 [pieces · query_num, E],
  // piece after piece, valid until the next call. With `tower_tap` (f32 [patches of all pieces, D]) the output of the
  // tower after the post layer norm is written there too. INVALID_ARGUMENT when the pieces do not fit the limits of the
  // plan or a matrix does not fit its grid.
  absl::StatusOr<runtime::ConstMatrix> Encode(std::span<const PieceInput> pieces,
                                              std::optional<runtime::Matrix> tower_tap = std::nullopt);

  int64_t max_patches() const { return layout_.limits.patches; }
  int64_t max_pieces() const { return layout_.limits.pieces; }
  int64_t rows_per_piece() const { return query_num_; }
  int64_t tower_width() const { return config_.hidden_size; }

 private:
  struct Norm {
    const float* gain;
    const float* bias;
  };
  struct Affine {
    runtime::ConstMatrix weight;
    const float* bias;
  };
  struct Layer {
    Norm norm1;
    Affine qkv, out;
    Norm norm2;
    Affine fc1, fc2;
  };

  Encoder(runtime::Device& device, const model::ModelConfig& config, const memory::Plan& plan);
  absl::Status TakeMemory(memory::Arena& arena, const model::ModelConfig& config, const memory::Plan& plan);
  void NameWeights();
  absl::Status CheckStep(std::span<const PieceInput> pieces, const std::optional<runtime::Matrix>& tower_tap) const;
  absl::Status Embed(std::span<const PieceInput> pieces, runtime::Matrix x);
  absl::Status Attend(const Layer& layer, std::span<const PieceInput> pieces, runtime::Matrix x);
  absl::Status FeedForward(const Layer& layer, runtime::Matrix x);
  absl::Status Normalize(const Norm& norm, const runtime::ConstMatrix& x, const runtime::Matrix& y);
  absl::Status Multiply(const runtime::Matrix& x, const Affine& affine, const runtime::Matrix& y, bool accumulate);
  runtime::Matrix View(const memory::StepBuffer& buffer, int64_t rows) const;

  runtime::Device& device_;
  const model::VisionConfig config_;
  const int64_t query_num_;
  const memory::WeightLayout weights_;
  const memory::VisionStepLayout layout_;
  std::span<std::byte> tower_memory_, resampler_memory_, workspace_;
  Affine patch_embedding_{};
  runtime::ConstMatrix position_embedding_;
  std::vector<Layer> layers_;
  Norm post_norm_{};
  std::unique_ptr<Resampler> resampler_;
};

// What the encoder's products need in a step of at most so many patches and pieces: the largest scratch, and what
// oneDNN keeps for all of them. Builds nothing.
absl::StatusOr<runtime::LinearNeeds> EncoderLinearNeeds(runtime::Device& device, const model::ModelConfig& config,
                                                        DType compute, int64_t patches, int64_t pieces);

// Fills in what MakePlan must know about the encoder (needs.vision_…, needs.rows); nothing for a model without a tower.
// `device` must outlive the needs.
void AddEncoderNeeds(runtime::Device& device, const model::ModelConfig& config, DType compute,
                     memory::KernelNeeds& needs);

}  // namespace headroom::vision_worker
