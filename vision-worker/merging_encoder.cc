#include "vision-worker/merging_encoder.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "runtime/ops/attention.h"
#include "runtime/ops/gather.h"
#include "vision-worker/grid_places.h"
#include "worker/views.h"

namespace headroom::vision_worker {

using runtime::LinearSpec;
using runtime::Matrix;
using Table = model::MergingTower::Table;

std::vector<LinearSpec> MergingEncoder::LinearSpecs(const model::ModelSpec& config, DType compute, int64_t patches) {
  const model::MergingTower& t = *config.merging;
  const int64_t width = t.hidden_size, merge = int64_t{config.resize.merge} * config.resize.merge;
  const auto product = [&](int64_t n, int64_t k, bool bias, bool accumulate = false) {
    return LinearSpec{.n = n, .k = k, .dtype = compute, .rows_max = patches, .bias = bias, .accumulate = accumulate};
  };
  std::vector<LinearSpec> products = {product(width, config.resize.patch_values(), true),
                                      product(3 * width, width, t.qkv_bias), product(width, width, !t.gated, true),
                                      product(t.gated ? 2 * t.mlp : t.mlp, width, !t.gated),
                                      product(width, t.mlp, !t.gated, true)};
  for (const LinearSpec& p : MergerLinearSpecs(config, compute, std::max<int64_t>(1, patches / merge))) {
    products.push_back(p);
  }
  return products;
}

MergingEncoder::MergingEncoder(runtime::Device& device, const model::ModelSpec& config, const memory::Plan& plan)
    : device_(device),
      config_(*config.merging),
      resize_(config.resize),
      compute_(plan.compute),
      weights_(plan.weights),
      layout_(plan.vision_step),
      inputs_(static_cast<size_t>(plan.vision_step.not_finite.offset)),
      places_(static_cast<size_t>(2 * plan.vision_step.limits.patches)) {}

absl::StatusOr<std::unique_ptr<MergingEncoder>> MergingEncoder::Create(runtime::Device& device,
                                                                       const model::ModelSpec& config,
                                                                       const memory::Plan& plan, memory::Arena& arena) {
  if (!config.merging.has_value()) return absl::InvalidArgumentError("the model has no tower with a merger");
  if (!plan.roles.vision) return absl::InvalidArgumentError("the plan of this device has no vision role");
  std::unique_ptr<MergingEncoder> encoder(new MergingEncoder(device, config, plan));
  HEADROOM_RETURN_IF_ERROR(encoder->TakeMemory(arena, config, plan));
  const memory::VisionStepLayout& step = plan.vision_step;
  for (const LinearSpec& product : LinearSpecs(config, plan.compute, step.limits.patches)) {
    HEADROOM_ASSIGN_OR_RETURN(const int64_t scratch, runtime::PrepareLinear(device, product));
    if (scratch <= step.linear_scratch.bytes()) continue;
    return absl::InternalError(absl::StrCat("a matrix product needs ", scratch, " bytes of scratch, the plan has ",
                                            step.linear_scratch.bytes()));
  }
  return encoder;
}

absl::Status MergingEncoder::TakeMemory(memory::Arena& arena, const model::ModelSpec& config,
                                        const memory::Plan& plan) {
  using memory::Component;
  memory_ = &arena.memory();
  HEADROOM_ASSIGN_OR_RETURN(tower_memory_,
                            arena.Take(Component::kVisionWeights, weights_.Bytes(model::WeightPart::kVision)));
  HEADROOM_ASSIGN_OR_RETURN(merger_memory_,
                            arena.Take(Component::kResamplerWeights, weights_.Bytes(model::WeightPart::kResampler)));
  HEADROOM_ASSIGN_OR_RETURN(workspace_, arena.Take(Component::kVisionWorkspace, layout_.buffers.bytes));
  NameWeights();
  merger_ = CreateMerger(config, plan, merger_memory_, workspace_);
  return absl::OkStatus();
}

void MergingEncoder::NameWeights() {
  const worker::WeightViews w(weights_, tower_memory_);
  const auto norm = [&](const std::string& name) {
    return Norm{w.OptionalVector(name + ".weight"), w.OptionalVector(name + ".bias")};
  };
  patch_embedding_ = ProductOf(w, "vision.patch_embedding");
  position_embedding_ = w["vision.position_embedding.weight"];
  if (config_.gated) {
    patch_norm_ = norm("vision.patch_norm");
    post_norm_ = norm("vision.post_norm");
    inv_freq_ = w.Vector("vision.rope.inv_freq");
  }
  layers_.reserve(static_cast<size_t>(config_.layers));
  for (int64_t i = 0; i < config_.layers; ++i) {
    const std::string prefix = absl::StrCat("vision.layers.", i, ".");
    layers_.push_back({.norm1 = norm(prefix + "norm1"),
                       .qkv = ProductOf(w, prefix + "qkv"),
                       .out = ProductOf(w, prefix + "out"),
                       .norm2 = norm(prefix + "norm2"),
                       .up = ProductOf(w, prefix + (config_.gated ? "gate_up" : "fc1")),
                       .down = ProductOf(w, prefix + (config_.gated ? "down" : "fc2"))});
  }
}

absl::Status MergingEncoder::Load(const model::Checkpoint& checkpoint, const memory::LoadProgress& progress) {
  HEADROOM_RETURN_IF_ERROR(weights_.Load(checkpoint, model::WeightPart::kVision, *memory_, tower_memory_, progress));
  HEADROOM_RETURN_IF_ERROR(weights_.Load(checkpoint, model::WeightPart::kResampler, *memory_, merger_memory_,
                                         memory::After(tower_memory_.bytes, progress)));
  // Rows turn the first half of the pairs and columns the second, by the same rates.
  const int64_t rates = config_.gated ? config_.head_dim() / 4 : 0;
  std::vector<float> inv_freq;
  for (int64_t i = 0; i < 2 * rates; ++i) {
    const float exponent = static_cast<float>(i % rates) / static_cast<float>(rates);
    inv_freq.push_back(1 / static_cast<float>(std::pow(config_.theta, static_cast<double>(exponent))));
  }
  runtime::Step step(device_);
  if (rates > 0) step.Upload(std::as_bytes(std::span(inv_freq)), inv_freq_.data);
  merger_->Prepare(step);
  return step.End();
}

absl::Status MergingEncoder::WarmUp() {
  if (!device_.LoadsLate()) return absl::OkStatus();
  const Layer& layer = layers_.front();  // all layers have the same products
  for (const int64_t rows : runtime::LinearBuckets(device_.sizes(), layout_.limits.patches)) {
    const Matrix x = View(layout_.x, rows), normed = View(layout_.normed, rows);
    runtime::Step step(device_);
    Multiply(step, View(layout_.patch_matrix, rows), patch_embedding_, x);
    Multiply(step, normed, layer.qkv, View(layout_.qkv, rows));
    Multiply(step, View(layout_.attention, rows), layer.out, x, /*accumulate=*/true);
    Multiply(step, normed, layer.up, View(layout_.mlp_hidden, rows));
    Multiply(step, View(layout_.mlp_activated, rows), layer.down, x, /*accumulate=*/true);
    HEADROOM_RETURN_IF_ERROR(step.End());
  }
  const int64_t tokens = max_patches() / (int64_t{resize_.merge} * resize_.merge);
  for (const int64_t rows : runtime::LinearBuckets(device_.sizes(), std::max<int64_t>(1, tokens))) {
    runtime::Step step(device_);
    merger_->MultiplyTokens(step, rows);
    HEADROOM_RETURN_IF_ERROR(step.End());
  }
  return absl::OkStatus();
}

int64_t MergingEncoder::PositionTaps() const {
  return config_.table == Table::kBilinear ? kBilinearTaps : kBicubicTaps;
}

Matrix MergingEncoder::View(const memory::StepBuffer& buffer, int64_t rows) const {
  return worker::ViewOf(workspace_, buffer, rows);
}

absl::Status MergingEncoder::CheckStep(std::span<const PieceInput> pieces, const EncodeOutputs& outputs) const {
  const auto count = static_cast<int64_t>(pieces.size());
  if (count < 1 || count > max_pieces()) {
    return absl::InvalidArgumentError(absl::StrCat("step of ", count, " pieces, limit ", max_pieces()));
  }
  int64_t patches = 0, rows = 0;
  for (const PieceInput& piece : pieces) {
    const model::PatchGrid& grid = piece.grid;
    const runtime::HostMatrix& m = piece.patches;
    if (grid.rows < 1 || grid.cols < 1 || grid.patches() > max_patches() - patches || grid.rows % resize_.merge != 0 ||
        grid.cols % resize_.merge != 0) {
      return absl::InvalidArgumentError(absl::StrCat("piece of ", grid.rows, " × ", grid.cols, " patches after ",
                                                     patches, " others, limit ", max_patches(), ", sides by ",
                                                     resize_.merge));
    }
    if (m.dtype != DType::kF32 || m.rows != grid.patches() || m.cols != resize_.patch_values()) {
      return absl::InvalidArgumentError(absl::StrCat("patch matrix of ", m.rows, " × ", m.cols, ", wanted fp32 ",
                                                     grid.patches(), " × ", resize_.patch_values()));
    }
    patches += grid.patches();
    rows += RowsOf(grid);
  }
  const auto check = [](const char* what, std::span<const float> values, int64_t count_of, int64_t width) {
    if (values.empty() || static_cast<int64_t>(values.size()) == count_of * width) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(what, " of ", values.size(), " values, wanted ", count_of, " × ", width));
  };
  HEADROOM_RETURN_IF_ERROR(check("tower output", outputs.tower, patches, config_.hidden_size));
  HEADROOM_RETURN_IF_ERROR(check("embeddings", outputs.embeddings, rows, config_.out));
  return CheckStore(*this, pieces, outputs, compute_);
}

// Checks what it builds; the operations trust it. Returns the patches of all pieces.
absl::StatusOr<int64_t> MergingEncoder::BuildInputs(std::span<const PieceInput> pieces) {
  using runtime::AttentionSegment;
  int64_t patches = 0;
  for (const PieceInput& piece : pieces) patches += piece.grid.patches();
  const int64_t taps = PositionTaps();
  const auto places = std::span(places_).first(static_cast<size_t>(2 * patches));
  const auto index = worker::HostArrayOf<int32_t>(inputs_, layout_.position_index, taps * patches);
  const auto weights = worker::HostArrayOf<float>(inputs_, layout_.position_weights, taps * patches);
  const auto segments =
      worker::HostArrayOf<AttentionSegment>(inputs_, layout_.tower_segments, static_cast<int64_t>(pieces.size()));
  int64_t begin = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const model::PatchGrid& grid = pieces[i].grid;
    const int64_t count = grid.patches();
    const auto part = [&](auto all, int64_t each) {
      return all.subspan(static_cast<size_t>(begin * each), static_cast<size_t>(count * each));
    };
    GridPlaces(grid, resize_.merge, part(places, 2));
    if (config_.table == Table::kBilinear) {
      BilinearTaps(grid, config_.position_side, config_.position_first, part(places, 2), part(index, taps),
                   part(weights, taps));
    } else {
      BicubicTaps(grid, config_.position_side, part(places, 2), part(index, taps), part(weights, taps));
    }
    segments[i] = {.q_begin = begin, .q_count = count, .k_begin = begin, .k_count = count};
    begin += count;
  }
  HEADROOM_RETURN_IF_ERROR(runtime::CheckIndices(index, position_embedding_.rows));
  HEADROOM_RETURN_IF_ERROR(runtime::CheckPositions(places));
  HEADROOM_RETURN_IF_ERROR(runtime::CheckSegments(segments, patches, patches, patches));
  if (config_.gated) {
    std::ranges::copy(places, worker::HostArrayOf<int32_t>(inputs_, layout_.patch_places, 2 * patches).begin());
  }
  HEADROOM_RETURN_IF_ERROR(merger_->BuildInputs(pieces, inputs_));
  return patches;
}

absl::StatusOr<std::vector<bool>> MergingEncoder::Encode(std::span<const PieceInput> pieces,
                                                         const EncodeOutputs& outputs) {
  HEADROOM_RETURN_IF_ERROR(CheckStep(pieces, outputs));
  HEADROOM_ASSIGN_OR_RETURN(const int64_t patches, BuildInputs(pieces));
  std::vector<int32_t> not_finite(pieces.size());
  runtime::Step step(device_);
  step.Upload(inputs_, workspace_.data);
  const Matrix x = View(layout_.x, patches);
  Embed(step, pieces, x);
  for (const Layer& layer : layers_) {
    Attend(step, layer, static_cast<int64_t>(pieces.size()), x);
    FeedForward(step, layer, x);
  }
  if (config_.gated) Normalize(step, post_norm_, x, x);
  if (!outputs.tower.empty()) step.Download(x.data, std::as_writable_bytes(outputs.tower));
  int64_t rows = 0;
  for (const PieceInput& piece : pieces) rows += RowsOf(piece.grid);
  HandOut(step, pieces, merger_->Run(step, x, rows), outputs, not_finite);
  HEADROOM_RETURN_IF_ERROR(step.End());
  std::vector<bool> finite;
  for (const int32_t found : not_finite) finite.push_back(found == 0);
  return finite;
}

void MergingEncoder::HandOut(runtime::Step& step, std::span<const PieceInput> pieces, const Matrix& embeddings,
                             const EncodeOutputs& outputs, std::span<int32_t> not_finite) {
  const auto found = worker::ArrayOf<int32_t>(workspace_, layout_.not_finite, static_cast<int64_t>(not_finite.size()));
  int64_t begin = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const Matrix rows = embeddings.RowRange(begin, RowsOf(pieces[i].grid));
    step.FindNonFinite({.x = rows, .group = rows.rows, .found = found.Sub(static_cast<int64_t>(i), 1)});
    begin += rows.rows;
  }
  WriteStore(step, embeddings, outputs, compute_);
  step.Download(found.data, std::as_writable_bytes(not_finite));
  if (!outputs.embeddings.empty()) step.Download(embeddings.data, std::as_writable_bytes(outputs.embeddings));
}

// x = patches·Wᵀ + b, or the norm of that, + position rows
void MergingEncoder::Embed(runtime::Step& step, std::span<const PieceInput> pieces, const Matrix& x) {
  const Matrix matrix = View(layout_.patch_matrix, x.rows);
  UploadPatches(step, pieces, matrix, matrix.dtype == DType::kF32 ? matrix : View(layout_.pixels, x.rows));
  Multiply(step, matrix, patch_embedding_, x);
  if (config_.gated) Normalize(step, patch_norm_, x, x);
  const int64_t taps = PositionTaps();
  step.AddGathered({.index = worker::ArrayOf<int32_t>(workspace_, layout_.position_index, x.rows * taps),
                    .taps = taps,
                    .weights = worker::ArrayOf<float>(workspace_, layout_.position_weights, x.rows * taps),
                    .table = position_embedding_,
                    .y = x});
}

// x += attention(q, k, v)·Woᵀ, piece by piece
void MergingEncoder::Attend(runtime::Step& step, const Layer& layer, int64_t pieces, const Matrix& x) {
  const int64_t width = config_.hidden_size;
  const auto pairs = static_cast<int32_t>(config_.head_dim() / 4);
  const Matrix normed = View(layout_.normed, x.rows), qkv = View(layout_.qkv, x.rows);
  const Matrix attended = View(layout_.attention, x.rows);
  Normalize(step, layer.norm1, x, normed);
  Multiply(step, normed, layer.qkv, qkv);
  if (config_.gated) {
    step.Rope({.q = qkv.ColRange(0, 2 * width),
               .heads = 2 * config_.heads,
               .positions = worker::ArrayOf<int32_t>(workspace_, layout_.patch_places, 2 * x.rows),
               .inv_freq = inv_freq_,
               .sections = {pairs, pairs}});
  }
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

// x += (silu(gate) · up)·Wdownᵀ, or gelu(normed·Wupᵀ + b)·Wdownᵀ + b
void MergingEncoder::FeedForward(runtime::Step& step, const Layer& layer, const Matrix& x) {
  const Matrix normed = View(layout_.normed, x.rows);
  const Matrix hidden = View(layout_.mlp_hidden, x.rows), activated = View(layout_.mlp_activated, x.rows);
  Normalize(step, layer.norm2, x, normed);
  Multiply(step, normed, layer.up, hidden);
  if (config_.gated) {
    step.SiluMul({.gate_up = hidden, .y = activated});
  } else {
    step.GeluErf({.x = hidden, .y = activated});
  }
  Multiply(step, activated, layer.down, x, /*accumulate=*/true);
}

void MergingEncoder::Normalize(runtime::Step& step, const Norm& norm, const Matrix& x, const Matrix& y) {
  const auto eps = static_cast<float>(config_.norm_eps);
  if (config_.gated) {
    step.RmsNorm({.x = x, .gain = norm.gain, .eps = eps, .y = y});
  } else {
    step.LayerNorm({.x = x, .gain = norm.gain, .bias = norm.bias, .eps = eps, .y = y});
  }
}

void MergingEncoder::Multiply(runtime::Step& step, const Matrix& x, const Product& product, const Matrix& y,
                              bool accumulate) {
  vision_worker::Multiply(step, x, product, y, worker::BytesOf(workspace_, layout_.linear_scratch), accumulate);
}

}  // namespace headroom::vision_worker
