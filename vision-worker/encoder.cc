#include "vision-worker/encoder.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "runtime/ops/attention.h"
#include "runtime/ops/elementwise.h"
#include "runtime/ops/gather.h"
#include "runtime/ops/linear.h"
#include "runtime/ops/norm.h"
#include "vision-worker/position.h"
#include "worker/views.h"

namespace headroom::vision_worker {
namespace {

using runtime::ConstMatrix;
using runtime::LinearSpec;
using runtime::Matrix;

// Every product of a step.
std::vector<LinearSpec> LinearSpecs(const model::ModelConfig& config, DType compute, int64_t patches, int64_t pieces) {
  const model::VisionConfig& v = *config.vision;
  const auto product = [&](int64_t n, int64_t k, bool accumulate) {
    return LinearSpec{.n = n, .k = k, .dtype = compute, .rows_max = patches, .bias = true, .accumulate = accumulate};
  };
  std::vector<LinearSpec> products = {
      product(v.hidden_size, v.patch_values(), false),   product(3 * v.hidden_size, v.hidden_size, false),
      product(v.hidden_size, v.hidden_size, true),       product(v.intermediate_size, v.hidden_size, false),
      product(v.hidden_size, v.intermediate_size, true),
  };
  for (const LinearSpec& p : Resampler::LinearSpecs(config, compute, patches, pieces)) products.push_back(p);
  return products;
}

int64_t SumPatches(std::span<const PieceInput> pieces) {
  int64_t patches = 0;
  for (const PieceInput& piece : pieces) patches += piece.grid.patches();
  return patches;
}

}  // namespace

absl::StatusOr<runtime::LinearNeeds> EncoderLinearNeeds(runtime::Device& device, const model::ModelConfig& config,
                                                        DType compute, int64_t patches, int64_t pieces) {
  runtime::LinearNeeds needs;
  for (const LinearSpec& product : LinearSpecs(config, compute, patches, pieces)) {
    HEADROOM_ASSIGN_OR_RETURN(const runtime::LinearNeeds own, runtime::DescribeLinear(device, product));
    needs.scratch_bytes = std::max(needs.scratch_bytes, own.scratch_bytes);
    needs.library_bytes += own.library_bytes;
  }
  return needs;
}

void AddEncoderNeeds(runtime::Device& device, const model::ModelConfig& config, DType compute,
                     memory::KernelNeeds& needs) {
  needs.rows = runtime::LinearRows;
  if (!config.vision.has_value()) return;
  needs.vision_linear_scratch = [&device, config, compute](int64_t patches, int64_t pieces) -> absl::StatusOr<int64_t> {
    HEADROOM_ASSIGN_OR_RETURN(const auto products, EncoderLinearNeeds(device, config, compute, patches, pieces));
    return products.scratch_bytes;
  };
  needs.vision_library = [&device, config, compute](int64_t patches, int64_t pieces) -> absl::StatusOr<int64_t> {
    HEADROOM_ASSIGN_OR_RETURN(const auto products, EncoderLinearNeeds(device, config, compute, patches, pieces));
    return products.library_bytes;
  };
  const int64_t head_dim = std::max(config.vision->head_dim(), config.llm.hidden_size / config.resampler.heads);
  needs.vision_attention_scratch = [&device, head_dim](int64_t, int64_t) -> absl::StatusOr<int64_t> {
    return runtime::AttentionScratchBytes(head_dim, device.threads());
  };
}

Encoder::Encoder(runtime::Device& device, const model::ModelConfig& config, const memory::Plan& plan)
    : device_(device),
      config_(*config.vision),
      query_num_(config.resampler.query_num),
      weights_(plan.weights),
      layout_(plan.vision_step) {}

absl::StatusOr<std::unique_ptr<Encoder>> Encoder::Create(runtime::Device& device, const model::ModelConfig& config,
                                                         const memory::Plan& plan, memory::Arena& arena) {
  if (!config.vision.has_value()) return absl::InvalidArgumentError("the model has no vision tower");
  if (!plan.roles.vision) return absl::InvalidArgumentError("the plan of this device has no vision role");
  std::unique_ptr<Encoder> encoder(new Encoder(device, config, plan));
  HEADROOM_RETURN_IF_ERROR(encoder->TakeMemory(arena, config, plan));
  const memory::VisionStepLayout& step = plan.vision_step;
  for (const LinearSpec& product : LinearSpecs(config, plan.compute, step.limits.patches, step.limits.pieces)) {
    HEADROOM_ASSIGN_OR_RETURN(const int64_t scratch, runtime::PrepareLinear(device, product));
    if (scratch <= step.linear_scratch.bytes()) continue;
    return absl::InternalError(absl::StrCat("a matrix product needs ", scratch, " bytes of scratch, the plan has ",
                                            step.linear_scratch.bytes()));
  }
  return encoder;
}

absl::Status Encoder::TakeMemory(memory::Arena& arena, const model::ModelConfig& config, const memory::Plan& plan) {
  using memory::Component;
  HEADROOM_ASSIGN_OR_RETURN(tower_memory_,
                            arena.Take(Component::kVisionWeights, weights_.Bytes(model::WeightPart::kVision)));
  HEADROOM_ASSIGN_OR_RETURN(resampler_memory_,
                            arena.Take(Component::kResamplerWeights, weights_.Bytes(model::WeightPart::kResampler)));
  HEADROOM_ASSIGN_OR_RETURN(workspace_, arena.Take(Component::kVisionWorkspace, layout_.buffers.bytes));
  NameWeights();
  resampler_ = std::make_unique<Resampler>(device_, config, plan, resampler_memory_, workspace_);
  return absl::OkStatus();
}

void Encoder::NameWeights() {
  const worker::WeightViews w(weights_, tower_memory_);
  const auto norm = [&](const std::string& name) { return Norm{w.Vector(name + ".weight"), w.Vector(name + ".bias")}; };
  const auto product = [&](const std::string& name) { return Affine{w[name + ".weight"], w.Vector(name + ".bias")}; };
  patch_embedding_ = product("vision.patch_embedding");
  position_embedding_ = w["vision.position_embedding.weight"];
  layers_.reserve(static_cast<size_t>(config_.layers));
  for (int64_t i = 0; i < config_.layers; ++i) {
    const std::string prefix = absl::StrCat("vision.layers.", i, ".");
    layers_.push_back({.norm1 = norm(prefix + "norm1"),
                       .qkv = product(prefix + "qkv"),
                       .out = product(prefix + "out"),
                       .norm2 = norm(prefix + "norm2"),
                       .fc1 = product(prefix + "fc1"),
                       .fc2 = product(prefix + "fc2")});
  }
  post_norm_ = norm("vision.post_norm");
}

absl::Status Encoder::Load(const model::Checkpoint& checkpoint, const memory::LoadProgress& progress) {
  HEADROOM_RETURN_IF_ERROR(weights_.Load(checkpoint, model::WeightPart::kVision, tower_memory_, progress));
  HEADROOM_RETURN_IF_ERROR(weights_.Load(checkpoint, model::WeightPart::kResampler, resampler_memory_,
                                         memory::After(static_cast<int64_t>(tower_memory_.size()), progress)));
  const auto lane = device_.EnterLane();
  return resampler_->ComputeQueries();
}

Matrix Encoder::View(const memory::StepBuffer& buffer, int64_t rows) const {
  return worker::ViewOf(workspace_, buffer, rows);
}

absl::Status Encoder::CheckStep(std::span<const PieceInput> pieces, const std::optional<Matrix>& tower_tap) const {
  const int64_t count = static_cast<int64_t>(pieces.size());
  if (count < 1 || count > max_pieces()) {
    return absl::InvalidArgumentError(absl::StrCat("step of ", count, " pieces, limit ", max_pieces()));
  }
  int64_t patches = 0;
  for (const PieceInput& piece : pieces) {
    const ConstMatrix& m = piece.patches;
    if (piece.grid.rows < 1 || piece.grid.cols < 1 || piece.grid.patches() > max_patches() - patches) {
      return absl::InvalidArgumentError(absl::StrCat("piece of ", piece.grid.rows, " × ", piece.grid.cols,
                                                     " patches after ", patches, " others, limit ", max_patches()));
    }
    patches += piece.grid.patches();
    if (m.dtype != DType::kF32 || m.rows != piece.grid.patches() || m.cols != config_.patch_values()) {
      return absl::InvalidArgumentError(absl::StrCat("patch matrix of ", m.rows, " × ", m.cols, ", wanted fp32 ",
                                                     piece.grid.patches(), " × ", config_.patch_values()));
    }
  }
  if (tower_tap.has_value() &&
      (tower_tap->dtype != DType::kF32 || tower_tap->rows != patches || tower_tap->cols != config_.hidden_size)) {
    return absl::InvalidArgumentError(absl::StrCat("tap of ", tower_tap->rows, " × ", tower_tap->cols, ", wanted fp32 ",
                                                   patches, " × ", config_.hidden_size));
  }
  return absl::OkStatus();
}

absl::StatusOr<ConstMatrix> Encoder::Encode(std::span<const PieceInput> pieces, std::optional<Matrix> tower_tap) {
  HEADROOM_RETURN_IF_ERROR(CheckStep(pieces, tower_tap));
  const auto lane = device_.EnterLane();
  const int64_t patches = SumPatches(pieces);
  const Matrix x = View(layout_.x, patches);
  HEADROOM_RETURN_IF_ERROR(Embed(pieces, x));
  for (const Layer& layer : layers_) {
    HEADROOM_RETURN_IF_ERROR(Attend(layer, pieces, x));
    HEADROOM_RETURN_IF_ERROR(FeedForward(layer, x));
  }
  if (tower_tap.has_value()) HEADROOM_RETURN_IF_ERROR(Normalize(post_norm_, x, *tower_tap));
  HEADROOM_RETURN_IF_ERROR(Normalize(post_norm_, x, View(layout_.normed, patches)));

  std::vector<model::PatchGrid> grids;
  grids.reserve(pieces.size());
  for (const PieceInput& piece : pieces) grids.push_back(piece.grid);
  return resampler_->Run(grids);
}

// x = patches·Wᵀ + b + position rows
absl::Status Encoder::Embed(std::span<const PieceInput> pieces, Matrix x) {
  const Matrix matrix = View(layout_.patch_matrix, x.rows);
  const std::span<int32_t> index = worker::SpanOf<int32_t>(workspace_, layout_.position_index, x.rows);
  int64_t begin = 0;
  for (const PieceInput& piece : pieces) {
    const int64_t count = piece.grid.patches();
    HEADROOM_RETURN_IF_ERROR(runtime::Convert(device_, {.x = piece.patches, .y = matrix.RowRange(begin, count)}));
    PositionIndex(piece.grid.rows, piece.grid.cols, config_.position_side,
                  index.subspan(static_cast<size_t>(begin), static_cast<size_t>(count)));
    begin += count;
  }
  HEADROOM_RETURN_IF_ERROR(Multiply(matrix, patch_embedding_, x, /*accumulate=*/false));
  return runtime::AddGathered(device_, {.index = index, .table = position_embedding_, .y = x});
}

// x += attention(LN1(x))·Woᵀ + bo, piece by piece
absl::Status Encoder::Attend(const Layer& layer, std::span<const PieceInput> pieces, Matrix x) {
  const int64_t width = config_.hidden_size;
  const Matrix normed = View(layout_.normed, x.rows);
  const Matrix qkv = View(layout_.qkv, x.rows);
  const Matrix attended = View(layout_.attention, x.rows);
  std::vector<runtime::AttentionSegment> segments;
  segments.reserve(pieces.size());
  int64_t begin = 0;
  for (const PieceInput& piece : pieces) {
    const int64_t count = piece.grid.patches();
    segments.push_back({.q_begin = begin, .q_count = count, .k_begin = begin, .k_count = count});
    begin += count;
  }
  HEADROOM_RETURN_IF_ERROR(Normalize(layer.norm1, x, normed));
  HEADROOM_RETURN_IF_ERROR(Multiply(normed, layer.qkv, qkv, /*accumulate=*/false));
  HEADROOM_RETURN_IF_ERROR(
      runtime::Attention(device_, {.q = qkv.ColRange(0, width),
                                   .k = qkv.ColRange(width, width),
                                   .v = qkv.ColRange(2 * width, width),
                                   .segments = segments,
                                   .heads = config_.heads,
                                   .head_dim = config_.head_dim(),
                                   .scale = 1.0f / std::sqrt(static_cast<float>(config_.head_dim())),
                                   .out = attended,
                                   .scratch = worker::BytesOf(workspace_, layout_.attention_scratch)}));
  return Multiply(attended, layer.out, x, /*accumulate=*/true);
}

// x += gelu(LN2(x)·W1ᵀ + b1)·W2ᵀ + b2
absl::Status Encoder::FeedForward(const Layer& layer, Matrix x) {
  const Matrix normed = View(layout_.normed, x.rows);
  const Matrix hidden = View(layout_.mlp_hidden, x.rows);
  const Matrix activated = View(layout_.mlp_activated, x.rows);
  HEADROOM_RETURN_IF_ERROR(Normalize(layer.norm2, x, normed));
  HEADROOM_RETURN_IF_ERROR(Multiply(normed, layer.fc1, hidden, /*accumulate=*/false));
  HEADROOM_RETURN_IF_ERROR(runtime::GeluTanh(device_, {.x = hidden, .y = activated}));
  return Multiply(activated, layer.fc2, x, /*accumulate=*/true);
}

absl::Status Encoder::Normalize(const Norm& norm, const ConstMatrix& x, const Matrix& y) {
  return runtime::LayerNorm(
      device_,
      {.x = x, .gain = norm.gain, .bias = norm.bias, .eps = static_cast<float>(config_.layer_norm_eps), .y = y});
}

absl::Status Encoder::Multiply(const Matrix& x, const Affine& affine, const Matrix& y, bool accumulate) {
  return runtime::Linear(device_, {.x = x,
                                   .weight = affine.weight,
                                   .bias = affine.bias,
                                   .y = y,
                                   .accumulate = accumulate,
                                   .scratch = worker::BytesOf(workspace_, layout_.linear_scratch)});
}

}  // namespace headroom::vision_worker
