// MergingEncoder: the towers of GLM-4.1V and HunyuanOCR, and a merger (vision-worker/merger.h). Pictures in, one row of
// the language model's width out for each merge × merge patches, and those that the merger adds.
//
//   GLM-4.1V:    x = RMSNorm(patches·Wᵀ + b) + position rows, interpolated
//     per layer  q, k, v = RMSNorm1(x)·Wqkvᵀ;  q and k turn by row and column;  x += attention(q, k, v)·Woᵀ
//                gate, up = RMSNorm2(x)·Wᵀ;  x += (silu(gate) · up)·Wdownᵀ
//     rows       merger of RMSNorm(x)
//   HunyuanOCR:  x = patches·Wᵀ + b + position rows, interpolated
//     per layer  q, k, v = LN1(x)·Wqkvᵀ + b;  x += attention(q, k, v)·Woᵀ + b;  x += gelu(LN2(x)·W1ᵀ + b)·W2ᵀ + b
//     rows       merger of x
//
// Pieces are packed as in Encoder; their patches come in blocks that become a row (vision-worker/grid_places.h). To
// attention without rotary positions their order is all the same.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "runtime/matrix.h"
#include "runtime/ops/linear.h"
#include "runtime/step.h"
#include "vision-worker/merger.h"
#include "vision-worker/piece_encoder.h"
#include "vision-worker/product.h"

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
  int64_t RowsOf(const model::PatchGrid& grid) const override { return resize_.row_rule().Rows(grid); }
  int64_t tower_width() const override { return config_.hidden_size; }
  int64_t embedding_width() const override { return config_.out; }

  // Every product of a step.
  static std::vector<runtime::LinearSpec> LinearSpecs(const model::ModelSpec& config, DType compute, int64_t patches);

 private:
  using FloatArray = runtime::DeviceArray<const float>;
  struct Norm {
    FloatArray gain, bias;  // of a layer norm; an RMS norm has no bias
  };
  struct Layer {
    Norm norm1;
    Product qkv, out;
    Norm norm2;
    Product up, down;  // up: gate and up, where the MLP is gated
  };

  MergingEncoder(runtime::Device& device, const model::ModelSpec& config, const memory::Plan& plan);
  absl::Status TakeMemory(memory::Arena& arena, const model::ModelSpec& config, const memory::Plan& plan);
  void NameWeights();
  absl::Status CheckStep(std::span<const PieceInput> pieces, const EncodeOutputs& outputs) const;
  absl::StatusOr<int64_t> BuildInputs(std::span<const PieceInput> pieces);
  void Embed(runtime::Step& step, std::span<const PieceInput> pieces, const runtime::Matrix& x);
  void Attend(runtime::Step& step, const Layer& layer, int64_t pieces, const runtime::Matrix& x);
  void FeedForward(runtime::Step& step, const Layer& layer, const runtime::Matrix& x);
  void HandOut(runtime::Step& step, std::span<const PieceInput> pieces, const runtime::Matrix& embeddings,
               const EncodeOutputs& outputs, std::span<int32_t> not_finite);
  void Normalize(runtime::Step& step, const Norm& norm, const runtime::Matrix& x, const runtime::Matrix& y);
  void Multiply(runtime::Step& step, const runtime::Matrix& x, const Product& product, const runtime::Matrix& y,
                bool accumulate = false);
  int64_t PositionTaps() const;  // rows of the position table a patch
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
  std::vector<int32_t> places_;    // (row, column) of the step's patches
  Product patch_embedding_{};
  Norm patch_norm_{}, post_norm_{};
  FloatArray inv_freq_;
  runtime::ConstMatrix position_embedding_;
  std::vector<Layer> layers_;
  std::unique_ptr<Merger> merger_;
};

}  // namespace headroom::vision_worker
