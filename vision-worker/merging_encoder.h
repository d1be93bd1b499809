// MergingEncoder: the tower and the merger of GLM-4.1V. Pictures in, one row of the language model's width out for each
// merge × merge patches.
//
//   x = RMSNorm(patches·Wᵀ + b) + position rows, interpolated
//   per layer:  q, k, v = RMSNorm1(x)·Wqkvᵀ;  q and k turn by row and column;  x += attention(q, k, v)·Woᵀ
//               gate, up = RMSNorm2(x)·Wᵀ;  x += (silu(gate) · up)·Wdownᵀ
//   z = joined RMSNorm(x)·Wdownsampleᵀ + b;  y = gelu(LN(z·Wprojᵀ))
//   gate, up = y·Wᵀ;  rows = (silu(gate) · up)·Wdownᵀ
//
// Pieces are packed as in Encoder; their patches come in blocks that become a row (vision-worker/grid_places.h).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "runtime/matrix.h"
#include "runtime/ops/linear.h"
#include "runtime/step.h"
#include "vision-worker/piece_encoder.h"

namespace headroom::vision_worker {

class MergingEncoder : public PieceEncoder {
 public:
  // As CreateEncoder().
  static absl::StatusOr<std::unique_ptr<MergingEncoder>> Create(runtime::Device& device, const model::ModelSpec& config,
                                                                const memory::Plan& plan, memory::Arena& arena);

  absl::Status Load(const model::Checkpoint& checkpoint, const memory::LoadProgress& progress) override;
  absl::Status WarmUp() override;
  absl::StatusOr<std::vector<bool>> Encode(std::span<const PieceInput> pieces, const EncodeOutputs& outputs) override;

  int64_t max_patches() const override { return layout_.limits.patches; }
  int64_t max_pieces() const override { return layout_.limits.pieces; }
  int64_t RowsOf(const model::PatchGrid& grid) const override { return resize_.TokensOf(grid); }
  int64_t tower_width() const override { return config_.hidden_size; }
  int64_t embedding_width() const override { return config_.out; }

  // Every product of a step.
  static std::vector<runtime::LinearSpec> LinearSpecs(const model::ModelSpec& config, DType compute, int64_t patches);

 private:
  using FloatArray = runtime::DeviceArray<const float>;
  // y = x·Wᵀ (+ b)
  struct Product {
    runtime::ConstMatrix weight;
    FloatArray bias;  // or null
  };
  struct Layer {
    FloatArray norm1;
    Product qkv, out;
    FloatArray norm2;
    Product gate_up, down;
  };
  struct Merger {
    Product downsample, proj;
    FloatArray norm, norm_bias;
    Product gate_up, down;
  };

  MergingEncoder(runtime::Device& device, const model::ModelSpec& config, const memory::Plan& plan);
  absl::Status TakeMemory(memory::Arena& arena);
  void NameWeights();
  absl::Status CheckStep(std::span<const PieceInput> pieces, const EncodeOutputs& outputs) const;
  absl::StatusOr<int64_t> BuildInputs(std::span<const PieceInput> pieces);
  void Embed(runtime::Step& step, std::span<const PieceInput> pieces, const runtime::Matrix& x);
  void Attend(runtime::Step& step, const Layer& layer, int64_t pieces, const runtime::Matrix& x);
  void FeedForward(runtime::Step& step, const Layer& layer, const runtime::Matrix& x);
  runtime::Matrix Merge(runtime::Step& step, const runtime::Matrix& x);
  void HandOut(runtime::Step& step, std::span<const PieceInput> pieces, const runtime::Matrix& embeddings,
               const EncodeOutputs& outputs, std::span<int32_t> not_finite);
  void Normalize(runtime::Step& step, const FloatArray& gain, const runtime::Matrix& x, const runtime::Matrix& y);
  void Multiply(runtime::Step& step, const runtime::Matrix& x, const Product& product, const runtime::Matrix& y,
                bool accumulate = false);
  runtime::Matrix View(const memory::StepBuffer& buffer, int64_t rows) const;

  runtime::Device& device_;
  const model::MergingTower config_;
  const model::GridResize resize_;
  const DType compute_;
  const memory::WeightLayout weights_;
  const memory::VisionStepLayout layout_;
  memory::DeviceMemory* memory_ = nullptr;  // of the arena
  runtime::DeviceSpan tower_memory_, merger_memory_, workspace_;
  std::vector<std::byte> inputs_;  // of a step, as they lie at the start of the workspace
  Product patch_embedding_{};
  FloatArray patch_norm_, post_norm_, inv_freq_;
  runtime::ConstMatrix position_embedding_;
  std::vector<Layer> layers_;
  Merger merger_{};
};

}  // namespace headroom::vision_worker
