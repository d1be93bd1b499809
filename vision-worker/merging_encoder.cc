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

std::vector<LinearSpec> MergingEncoder::LinearSpecs(const model::ModelSpec& config, DType compute, int64_t patches) {
  const model::MergingTower& t = *config.merging;
  const int64_t width = t.hidden_size, merge = int64_t{config.resize.merge} * config.resize.merge;
  const int64_t tokens = std::max<int64_t>(1, patches / merge);
  const auto product = [&](int64_t rows, int64_t n, int64_t k, bool bias, bool accumulate = false) {
    return LinearSpec{.n = n, .k = k, .dtype = compute, .rows_max = rows, .bias = bias, .accumulate = accumulate};
  };
  return {product(patches, width, config.resize.patch_values(), true),
          product(patches, 3 * width, width, t.qkv_bias),
          product(patches, width, width, false, true),
          product(patches, 2 * t.out, width, false),
          product(patches, width, t.out, false, true),
          product(tokens, t.out, merge * width, true),
          product(tokens, t.out, t.out, false),
          product(tokens, 2 * t.merger_mlp, t.out, false),
          product(tokens, t.out, t.merger_mlp, false)};
}

MergingEncoder::MergingEncoder(runtime::Device& device, const model::ModelSpec& config, const memory::Plan& plan)
    : device_(device),
      config_(*config.merging),
      resize_(config.resize),
      compute_(plan.compute),
      weights_(plan.weights),
      layout_(plan.vision_step),
      inputs_(static_cast<size_t>(plan.vision_step.not_finite.offset)) {}

absl::StatusOr<std::unique_ptr<MergingEncoder>> MergingEncoder::Create(runtime::Device& device,
                                                                       const model::ModelSpec& config,
                                                                       const memory::Plan& plan, memory::Arena& arena) {
  if (!config.merging.has_value()) return absl::InvalidArgumentError("the model has no tower with a merger");
  if (!plan.roles.vision) return absl::InvalidArgumentError("the plan of this device has no vision role");
  std::unique_ptr<MergingEncoder> encoder(new MergingEncoder(device, config, plan));
  HEADROOM_RETURN_IF_ERROR(encoder->TakeMemory(arena));
  const memory::VisionStepLayout& step = plan.vision_step;
  for (const LinearSpec& product : LinearSpecs(config, plan.compute, step.limits.patches)) {
    HEADROOM_ASSIGN_OR_RETURN(const int64_t scratch, runtime::PrepareLinear(device, product));
    if (scratch <= step.linear_scratch.bytes()) continue;
    return absl::InternalError(absl::StrCat("a matrix product needs ", scratch, " bytes of scratch, the plan has ",
                                            step.linear_scratch.bytes()));
  }
  return encoder;
}

absl::Status MergingEncoder::TakeMemory(memory::Arena& arena) {
  using memory::Component;
  memory_ = &arena.memory();
  HEADROOM_ASSIGN_OR_RETURN(tower_memory_,
                            arena.Take(Component::kVisionWeights, weights_.Bytes(model::WeightPart::kVision)));
  HEADROOM_ASSIGN_OR_RETURN(merger_memory_,
                            arena.Take(Component::kResamplerWeights, weights_.Bytes(model::WeightPart::kResampler)));
  HEADROOM_ASSIGN_OR_RETURN(workspace_, arena.Take(Component::kVisionWorkspace, layout_.buffers.bytes));
  NameWeights();
  return absl::OkStatus();
}

void MergingEncoder::NameWeights() {
  const worker::WeightViews tower(weights_, tower_memory_), merger(weights_, merger_memory_);
  const auto product = [](const worker::WeightViews& w, const std::string& name) {
    return Product{w[name + ".weight"], w.OptionalVector(name + ".bias")};
  };
  patch_embedding_ = product(tower, "vision.patch_embedding");
  patch_norm_ = tower.Vector("vision.patch_norm.weight");
  position_embedding_ = tower["vision.position_embedding.weight"];
  inv_freq_ = tower.Vector("vision.rope.inv_freq");
  layers_.reserve(static_cast<size_t>(config_.layers));
  for (int64_t i = 0; i < config_.layers; ++i) {
    const std::string prefix = absl::StrCat("vision.layers.", i, ".");
    layers_.push_back({.norm1 = tower.Vector(prefix + "norm1.weight"),
                       .qkv = product(tower, prefix + "qkv"),
                       .out = product(tower, prefix + "out"),
                       .norm2 = tower.Vector(prefix + "norm2.weight"),
                       .gate_up = product(tower, prefix + "gate_up"),
                       .down = product(tower, prefix + "down")});
  }
  post_norm_ = tower.Vector("vision.post_norm.weight");
  merger_ = {.downsample = product(merger, "merger.downsample"),
             .proj = product(merger, "merger.proj"),
             .norm = merger.Vector("merger.norm.weight"),
             .norm_bias = merger.Vector("merger.norm.bias"),
             .gate_up = product(merger, "merger.gate_up"),
             .down = product(merger, "merger.down")};
}

absl::Status MergingEncoder::Load(const model::Checkpoint& checkpoint, const memory::LoadProgress& progress) {
  HEADROOM_RETURN_IF_ERROR(weights_.Load(checkpoint, model::WeightPart::kVision, *memory_, tower_memory_, progress));
  HEADROOM_RETURN_IF_ERROR(weights_.Load(checkpoint, model::WeightPart::kResampler, *memory_, merger_memory_,
                                         memory::After(tower_memory_.bytes, progress)));
  // Rows turn the first half of the pairs and columns the second, by the same rates.
  const int64_t rates = config_.head_dim() / 4;
  std::vector<float> inv_freq;
  for (int64_t i = 0; i < 2 * rates; ++i) {
    const float exponent = static_cast<float>(i % rates) / static_cast<float>(rates);
    inv_freq.push_back(1 / static_cast<float>(std::pow(config_.theta, static_cast<double>(exponent))));
  }
  runtime::Step step(device_);
  step.Upload(std::as_bytes(std::span(inv_freq)), inv_freq_.data);
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
    Multiply(step, normed, layer.gate_up, View(layout_.mlp_hidden, rows));
    Multiply(step, View(layout_.mlp_activated, rows), layer.down, x, /*accumulate=*/true);
    HEADROOM_RETURN_IF_ERROR(step.End());
  }
  for (const int64_t rows : runtime::LinearBuckets(device_.sizes(), RowsOf({1, static_cast<int>(max_patches())}))) {
    const Matrix input = View(layout_.merger_input, rows), out = View(layout_.embeddings, rows);
    runtime::Step step(device_);
    Multiply(step, View(layout_.merged, rows), merger_.downsample, out);
    Multiply(step, input, merger_.proj, out);
    Multiply(step, input, merger_.gate_up, View(layout_.merger_hidden, rows));
    Multiply(step, View(layout_.merger_activated, rows), merger_.down, out);
    HEADROOM_RETURN_IF_ERROR(step.End());
  }
  return absl::OkStatus();
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
  const auto places = worker::HostArrayOf<int32_t>(inputs_, layout_.patch_places, 2 * patches);
  const auto index = worker::HostArrayOf<int32_t>(inputs_, layout_.position_index, kBicubicTaps * patches);
  const auto weights = worker::HostArrayOf<float>(inputs_, layout_.position_weights, kBicubicTaps * patches);
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
    BicubicTaps(grid, config_.position_side, part(places, 2), part(index, kBicubicTaps), part(weights, kBicubicTaps));
    segments[i] = {.q_begin = begin, .q_count = count, .k_begin = begin, .k_count = count};
    begin += count;
  }
  HEADROOM_RETURN_IF_ERROR(runtime::CheckIndices(index, position_embedding_.rows));
  HEADROOM_RETURN_IF_ERROR(runtime::CheckPositions(places));
  HEADROOM_RETURN_IF_ERROR(runtime::CheckSegments(segments, patches, patches, patches));
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
  Normalize(step, post_norm_, x, x);
  if (!outputs.tower.empty()) step.Download(x.data, std::as_writable_bytes(outputs.tower));
  HandOut(step, pieces, Merge(step, x), outputs, not_finite);
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

// x = RMSNorm(patches·Wᵀ + b) + position rows
void MergingEncoder::Embed(runtime::Step& step, std::span<const PieceInput> pieces, const Matrix& x) {
  const Matrix matrix = View(layout_.patch_matrix, x.rows);
  const bool as_they_are = matrix.dtype == DType::kF32;
  const Matrix pixels = as_they_are ? matrix : View(layout_.pixels, x.rows);
  int64_t begin = 0;
  for (const PieceInput& piece : pieces) {
    step.Upload(piece.patches.bytes(), pixels.RowRange(begin, piece.grid.patches()).data);
    begin += piece.grid.patches();
  }
  if (!as_they_are) step.Convert({.x = pixels, .y = matrix});
  Multiply(step, matrix, patch_embedding_, x);
  Normalize(step, patch_norm_, x, x);
  step.AddGathered({.index = worker::ArrayOf<int32_t>(workspace_, layout_.position_index, x.rows * kBicubicTaps),
                    .taps = kBicubicTaps,
                    .weights = worker::ArrayOf<float>(workspace_, layout_.position_weights, x.rows * kBicubicTaps),
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
  step.Rope({.q = qkv.ColRange(0, 2 * width),
             .heads = 2 * config_.heads,
             .positions = worker::ArrayOf<int32_t>(workspace_, layout_.patch_places, 2 * x.rows),
             .inv_freq = inv_freq_,
             .sections = {pairs, pairs}});
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

// x += (silu(gate) · up)·Wdownᵀ
void MergingEncoder::FeedForward(runtime::Step& step, const Layer& layer, const Matrix& x) {
  const Matrix normed = View(layout_.normed, x.rows);
  const Matrix hidden = View(layout_.mlp_hidden, x.rows), activated = View(layout_.mlp_activated, x.rows);
  Normalize(step, layer.norm2, x, normed);
  Multiply(step, normed, layer.gate_up, hidden);
  step.SiluMul({.gate_up = hidden, .y = activated});
  Multiply(step, activated, layer.down, x, /*accumulate=*/true);
}

// `embeddings` is the place of what comes before them, too.
Matrix MergingEncoder::Merge(runtime::Step& step, const Matrix& x) {
  const int64_t rows = x.rows / (int64_t{resize_.merge} * resize_.merge);
  const Matrix merged = View(layout_.merged, rows), input = View(layout_.merger_input, rows);
  const Matrix hidden = View(layout_.merger_hidden, rows), activated = View(layout_.merger_activated, rows);
  const Matrix y = View(layout_.embeddings, rows);
  step.JoinRows({.x = x, .y = merged});
  Multiply(step, merged, merger_.downsample, y);
  step.Convert({.x = y, .y = input});
  Multiply(step, input, merger_.proj, y);
  step.LayerNorm({.x = y,
                  .gain = merger_.norm,
                  .bias = merger_.norm_bias,
                  .eps = static_cast<float>(config_.merger_norm_eps),
                  .y = y});
  step.GeluErf({.x = y, .y = input});
  Multiply(step, input, merger_.gate_up, hidden);
  step.SiluMul({.gate_up = hidden, .y = activated});
  Multiply(step, activated, merger_.down, y);
  return y;
}

void MergingEncoder::Normalize(runtime::Step& step, const FloatArray& gain, const Matrix& x, const Matrix& y) {
  step.RmsNorm({.x = x, .gain = gain, .eps = static_cast<float>(config_.rms_norm_eps), .y = y});
}

void MergingEncoder::Multiply(runtime::Step& step, const Matrix& x, const Product& product, const Matrix& y,
                              bool accumulate) {
  step.Linear({.x = x,
               .weight = product.weight,
               .bias = product.bias,
               .y = y,
               .accumulate = accumulate,
               .scratch = worker::BytesOf(workspace_, layout_.linear_scratch)});
}

}  // namespace headroom::vision_worker
