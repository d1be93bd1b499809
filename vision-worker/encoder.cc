#include "vision-worker/encoder.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "runtime/ops/attention.h"
#include "runtime/ops/gather.h"
#include "vision-worker/position.h"
#include "worker/views.h"

namespace headroom::vision_worker {

using runtime::ConstMatrix;
using runtime::LinearSpec;
using runtime::Matrix;

std::vector<LinearSpec> Encoder::LinearSpecs(const model::ModelSpec& config, DType compute, int64_t patches,
                                             int64_t pieces) {
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

Encoder::Encoder(runtime::Device& device, const model::ModelSpec& config, const memory::Plan& plan)
    : device_(device),
      config_(*config.vision),
      query_num_(config.resampler.query_num),
      embedding_width_(config.llm.hidden_size),
      compute_(plan.compute),
      weights_(plan.weights),
      layout_(plan.vision_step),
      inputs_(static_cast<size_t>(plan.vision_step.not_finite.offset)) {}

absl::StatusOr<std::unique_ptr<Encoder>> Encoder::Create(runtime::Device& device, const model::ModelSpec& config,
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

absl::Status Encoder::TakeMemory(memory::Arena& arena, const model::ModelSpec& config, const memory::Plan& plan) {
  using memory::Component;
  memory_ = &arena.memory();
  HEADROOM_ASSIGN_OR_RETURN(tower_memory_,
                            arena.Take(Component::kVisionWeights, weights_.Bytes(model::WeightPart::kVision)));
  HEADROOM_ASSIGN_OR_RETURN(resampler_memory_,
                            arena.Take(Component::kResamplerWeights, weights_.Bytes(model::WeightPart::kResampler)));
  HEADROOM_ASSIGN_OR_RETURN(workspace_, arena.Take(Component::kVisionWorkspace, layout_.buffers.bytes));
  NameWeights();
  resampler_ = std::make_unique<Resampler>(config, plan, resampler_memory_, workspace_);
  return absl::OkStatus();
}

void Encoder::NameWeights() {
  const worker::WeightViews w(weights_, tower_memory_);
  const auto norm = [&](const std::string& name) { return Norm{w.Vector(name + ".weight"), w.Vector(name + ".bias")}; };
  const auto affine = [&](const std::string& name) { return Affine{w[name + ".weight"], w.Vector(name + ".bias")}; };
  patch_embedding_ = affine("vision.patch_embedding");
  position_embedding_ = w["vision.position_embedding.weight"];
  layers_.reserve(static_cast<size_t>(config_.layers));
  for (int64_t i = 0; i < config_.layers; ++i) {
    const std::string prefix = absl::StrCat("vision.layers.", i, ".");
    layers_.push_back({.norm1 = norm(prefix + "norm1"),
                       .qkv = affine(prefix + "qkv"),
                       .out = affine(prefix + "out"),
                       .norm2 = norm(prefix + "norm2"),
                       .fc1 = affine(prefix + "fc1"),
                       .fc2 = affine(prefix + "fc2")});
  }
  post_norm_ = norm("vision.post_norm");
}

absl::Status Encoder::Load(const model::Checkpoint& checkpoint, const memory::LoadProgress& progress) {
  HEADROOM_RETURN_IF_ERROR(weights_.Load(checkpoint, model::WeightPart::kVision, *memory_, tower_memory_, progress));
  HEADROOM_RETURN_IF_ERROR(weights_.Load(checkpoint, model::WeightPart::kResampler, *memory_, resampler_memory_,
                                         memory::After(tower_memory_.bytes, progress)));
  runtime::Step step(device_);
  resampler_->ComputeQueries(step);
  return step.End();
}

absl::Status Encoder::WarmUp() {
  if (!device_.LoadsLate()) return absl::OkStatus();
  const Layer& layer = layers_.front();  // all layers have the same products
  for (const int64_t rows : runtime::LinearBuckets(device_.sizes(), layout_.limits.patches)) {
    const Matrix x = View(layout_.x, rows), normed = View(layout_.normed, rows);
    runtime::Step step(device_);
    Multiply(step, View(layout_.patch_matrix, rows), patch_embedding_, x, /*accumulate=*/false);
    Multiply(step, normed, layer.qkv, View(layout_.qkv, rows), /*accumulate=*/false);
    Multiply(step, View(layout_.attention, rows), layer.out, x, /*accumulate=*/true);
    Multiply(step, normed, layer.fc1, View(layout_.mlp_hidden, rows), /*accumulate=*/false);
    Multiply(step, View(layout_.mlp_activated, rows), layer.fc2, x, /*accumulate=*/true);
    resampler_->MultiplyPatches(step, rows);
    HEADROOM_RETURN_IF_ERROR(step.End());
  }
  for (const int64_t rows : runtime::LinearBuckets(device_.sizes(), layout_.limits.pieces * query_num_)) {
    runtime::Step step(device_);
    resampler_->MultiplyQueries(step, rows);
    HEADROOM_RETURN_IF_ERROR(step.End());
  }
  return absl::OkStatus();
}

Matrix Encoder::View(const memory::StepBuffer& buffer, int64_t rows) const {
  return worker::ViewOf(workspace_, buffer, rows);
}

absl::Status Encoder::CheckStep(std::span<const PieceInput> pieces, const EncodeOutputs& outputs) const {
  const int64_t count = static_cast<int64_t>(pieces.size());
  if (count < 1 || count > max_pieces()) {
    return absl::InvalidArgumentError(absl::StrCat("step of ", count, " pieces, limit ", max_pieces()));
  }
  int64_t patches = 0;
  for (const PieceInput& piece : pieces) {
    const runtime::HostMatrix& m = piece.patches;
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
  int64_t rows = 0;
  for (const PieceInput& piece : pieces) rows += RowsOf(piece.grid);
  if (!outputs.tower.empty() && static_cast<int64_t>(outputs.tower.size()) != patches * config_.hidden_size) {
    return absl::InvalidArgumentError(absl::StrCat("tower output of ", outputs.tower.size(), " values, wanted ",
                                                   patches, " × ", config_.hidden_size));
  }
  if (!outputs.embeddings.empty() && static_cast<int64_t>(outputs.embeddings.size()) != rows * embedding_width_) {
    return absl::InvalidArgumentError(
        absl::StrCat("embeddings of ", outputs.embeddings.size(), " values, wanted ", rows, " × ", embedding_width_));
  }
  return CheckStore(*this, pieces, outputs, compute_);
}

// Checks what it builds; the operations trust it.
absl::StatusOr<Encoder::Sizes> Encoder::BuildInputs(std::span<const PieceInput> pieces) {
  using runtime::AttentionSegment;
  Sizes sizes{.pieces = static_cast<int64_t>(pieces.size())};
  for (const PieceInput& piece : pieces) {
    sizes.patches += piece.grid.patches();
    sizes.side = std::max<int64_t>({sizes.side, piece.grid.rows, piece.grid.cols});
  }
  const auto place = worker::HostArrayOf<int32_t>(inputs_, layout_.position_index, sizes.patches);
  const auto row = worker::HostArrayOf<int32_t>(inputs_, layout_.patch_row, sizes.patches);
  const auto column = worker::HostArrayOf<int32_t>(inputs_, layout_.patch_column, sizes.patches);
  const auto tower = worker::HostArrayOf<AttentionSegment>(inputs_, layout_.tower_segments, sizes.pieces);
  const auto queries = worker::HostArrayOf<AttentionSegment>(inputs_, layout_.query_segments, sizes.pieces);
  int64_t begin = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const model::PatchGrid& grid = pieces[i].grid;
    const int64_t count = grid.patches();
    const auto first = static_cast<size_t>(begin), size = static_cast<size_t>(count);
    PositionIndex(grid.rows, grid.cols, config_.position_side, place.subspan(first, size));
    PatchPlaces(grid.rows, grid.cols, row.subspan(first, size), column.subspan(first, size));
    tower[i] = {.q_begin = begin, .q_count = count, .k_begin = begin, .k_count = count};
    queries[i] = {.q_begin = 0,
                  .q_count = query_num_,
                  .k_begin = begin,
                  .k_count = count,
                  .out_begin = static_cast<int64_t>(i) * query_num_};
    begin += count;
  }
  HEADROOM_RETURN_IF_ERROR(runtime::CheckIndices(place, position_embedding_.rows));
  HEADROOM_RETURN_IF_ERROR(runtime::CheckIndices(row, sizes.side));
  HEADROOM_RETURN_IF_ERROR(runtime::CheckIndices(column, sizes.side));
  HEADROOM_RETURN_IF_ERROR(runtime::CheckSegments(tower, sizes.patches, sizes.patches, sizes.patches));
  HEADROOM_RETURN_IF_ERROR(runtime::CheckSegments(queries, query_num_, sizes.patches, sizes.pieces * query_num_));
  return sizes;
}

absl::StatusOr<std::vector<bool>> Encoder::Encode(std::span<const PieceInput> pieces, const EncodeOutputs& outputs) {
  HEADROOM_RETURN_IF_ERROR(CheckStep(pieces, outputs));
  HEADROOM_ASSIGN_OR_RETURN(const Sizes sizes, BuildInputs(pieces));
  std::vector<int32_t> not_finite(pieces.size());
  runtime::Step step(device_);
  step.Upload(inputs_, workspace_.data);
  const Matrix x = View(layout_.x, sizes.patches), normed = View(layout_.normed, sizes.patches);
  Embed(step, pieces, x);
  for (const Layer& layer : layers_) {
    Attend(step, layer, sizes.pieces, x);
    FeedForward(step, layer, x);
  }
  if (outputs.tower.empty()) {
    Normalize(step, post_norm_, x, normed);
  } else {
    Normalize(step, post_norm_, x, x);
    step.Download(x.data, std::as_writable_bytes(outputs.tower));
    step.Convert({.x = x, .y = normed});
  }
  HandOut(step, resampler_->Run(step, sizes.pieces, sizes.patches, sizes.side), outputs, not_finite);
  HEADROOM_RETURN_IF_ERROR(step.End());
  std::vector<bool> finite;
  for (const int32_t found : not_finite) finite.push_back(found == 0);
  return finite;
}

void Encoder::HandOut(runtime::Step& step, const Matrix& embeddings, const EncodeOutputs& outputs,
                      std::span<int32_t> not_finite) {
  const auto found = worker::ArrayOf<int32_t>(workspace_, layout_.not_finite, static_cast<int64_t>(not_finite.size()));
  step.FindNonFinite({.x = embeddings, .group = query_num_, .found = found});
  step.Download(found.data, std::as_writable_bytes(not_finite));
  if (!outputs.embeddings.empty()) step.Download(embeddings.data, std::as_writable_bytes(outputs.embeddings));
  WriteStore(step, embeddings, outputs, compute_);
}

// x = patches·Wᵀ + b + position rows
void Encoder::Embed(runtime::Step& step, std::span<const PieceInput> pieces, const Matrix& x) {
  const Matrix matrix = View(layout_.patch_matrix, x.rows);
  UploadPatches(step, pieces, matrix, matrix.dtype == DType::kF32 ? matrix : View(layout_.pixels, x.rows));
  Multiply(step, matrix, patch_embedding_, x, /*accumulate=*/false);
  step.AddGathered({.index = worker::ArrayOf<int32_t>(workspace_, layout_.position_index, x.rows),
                    .table = position_embedding_,
                    .y = x});
}

// x += attention(LN1(x))·Woᵀ + bo, piece by piece
void Encoder::Attend(runtime::Step& step, const Layer& layer, int64_t pieces, const Matrix& x) {
  const int64_t width = config_.hidden_size;
  const Matrix normed = View(layout_.normed, x.rows), qkv = View(layout_.qkv, x.rows);
  const Matrix attended = View(layout_.attention, x.rows);
  Normalize(step, layer.norm1, x, normed);
  Multiply(step, normed, layer.qkv, qkv, /*accumulate=*/false);
  step.Attention({.q = qkv.ColRange(0, width),
                  .k = qkv.ColRange(width, width),
                  .v = qkv.ColRange(2 * width, width),
                  .segments = worker::ArrayOf<runtime::AttentionSegment>(workspace_, layout_.tower_segments, pieces),
                  .heads = config_.heads,
                  .head_dim = config_.head_dim(),
                  .scale = 1.0f / std::sqrt(static_cast<float>(config_.head_dim())),
                  .out = attended,
                  .scratch = worker::BytesOf(workspace_, layout_.attention_scratch)});
  Multiply(step, attended, layer.out, x, /*accumulate=*/true);
}

// x += gelu(LN2(x)·W1ᵀ + b1)·W2ᵀ + b2
void Encoder::FeedForward(runtime::Step& step, const Layer& layer, const Matrix& x) {
  const Matrix normed = View(layout_.normed, x.rows);
  const Matrix hidden = View(layout_.mlp_hidden, x.rows), activated = View(layout_.mlp_activated, x.rows);
  Normalize(step, layer.norm2, x, normed);
  Multiply(step, normed, layer.fc1, hidden, /*accumulate=*/false);
  step.GeluTanh({.x = hidden, .y = activated});
  Multiply(step, activated, layer.fc2, x, /*accumulate=*/true);
}

void Encoder::Normalize(runtime::Step& step, const Norm& norm, const ConstMatrix& x, const Matrix& y) {
  step.LayerNorm(
      {.x = x, .gain = norm.gain, .bias = norm.bias, .eps = static_cast<float>(config_.layer_norm_eps), .y = y});
}

void Encoder::Multiply(runtime::Step& step, const Matrix& x, const Affine& affine, const Matrix& y, bool accumulate) {
  step.Linear({.x = x,
               .weight = affine.weight,
               .bias = affine.bias,
               .y = y,
               .accumulate = accumulate,
               .scratch = worker::BytesOf(workspace_, layout_.linear_scratch)});
}

}  // namespace headroom::vision_worker
