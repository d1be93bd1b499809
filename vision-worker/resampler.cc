#include "vision-worker/resampler.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "runtime/ops/attention.h"
#include "runtime/ops/elementwise.h"
#include "runtime/ops/gather.h"
#include "runtime/ops/norm.h"
#include "vision-worker/position.h"
#include "worker/views.h"

namespace headroom::vision_worker {

using runtime::ConstMatrix;
using runtime::Matrix;

Resampler::Resampler(runtime::Device& device, const model::ModelConfig& config, const memory::Plan& plan,
                     std::span<std::byte> weights, std::span<std::byte> workspace)
    : device_(device),
      layout_(plan.vision_step),
      width_(config.llm.hidden_size),
      query_num_(config.resampler.query_num),
      heads_(config.resampler.heads),
      eps_(static_cast<float>(config.resampler.layer_norm_eps)),
      workspace_(workspace) {
  const worker::WeightViews w(plan.weights, weights);
  const auto norm = [&](const std::string& name) { return Norm{w.Vector(name + ".weight"), w.Vector(name + ".bias")}; };
  query_ = w["resampler.query"];
  kv_proj_ = w["resampler.kv_proj.weight"];
  in_proj_ = w["resampler.in_proj.weight"];
  in_proj_bias_ = w.Vector("resampler.in_proj.bias");
  out_proj_ = w["resampler.out_proj.weight"];
  out_proj_bias_ = w.Vector("resampler.out_proj.bias");
  proj_ = w["resampler.proj"];
  norm_q_ = norm("resampler.norm_q");
  norm_kv_ = norm("resampler.norm_kv");
  norm_post_ = norm("resampler.norm_post");
  q_ = w["resampler.q"];
}

std::vector<runtime::LinearSpec> Resampler::LinearSpecs(const model::ModelConfig& config, DType compute,
                                                        int64_t patches, int64_t pieces) {
  const int64_t width = config.llm.hidden_size;
  const int64_t queries = pieces * config.resampler.query_num;
  return {
      {.n = width, .k = config.vision->hidden_size, .dtype = compute, .rows_max = patches},
      {.n = width, .k = width, .dtype = compute, .rows_max = std::max(patches, queries), .bias = true},
      {.n = width, .k = width, .dtype = compute, .rows_max = queries, .weight_is_kn = true},
  };
}

Matrix Resampler::View(const memory::StepBuffer& buffer, int64_t rows) const {
  return worker::ViewOf(workspace_, buffer, rows);
}

std::span<std::byte> Resampler::LinearScratch() const { return worker::BytesOf(workspace_, layout_.linear_scratch); }

absl::Status Resampler::Normalize(const Norm& norm, const ConstMatrix& x, const Matrix& y) {
  return runtime::LayerNorm(device_, {.x = x, .gain = norm.gain, .bias = norm.bias, .eps = eps_, .y = y});
}

absl::Status Resampler::ComputeQueries() {
  const Matrix normed = View(layout_.projected_normed, query_num_);
  const Matrix product = View(layout_.projected, query_num_);
  HEADROOM_RETURN_IF_ERROR(Normalize(norm_q_, query_, normed));
  HEADROOM_RETURN_IF_ERROR(runtime::Linear(device_, {.x = normed,
                                                     .weight = in_proj_.RowRange(0, width_),
                                                     .bias = in_proj_bias_,
                                                     .y = product,
                                                     .scratch = LinearScratch()}));
  return runtime::Convert(device_, {.x = product, .y = q_});
}

absl::StatusOr<ConstMatrix> Resampler::Run(std::span<const model::PatchGrid> pieces) {
  int64_t patches = 0;
  for (const model::PatchGrid& grid : pieces) patches += grid.patches();
  const int64_t queries = static_cast<int64_t>(pieces.size()) * query_num_;

  // Y, then Y + position: Y is finished in the input of the value product before positions are added to it.
  HEADROOM_RETURN_IF_ERROR(Project(patches));
  const Matrix y = View(layout_.kv, patches);
  const Matrix values_in = View(layout_.values_in, patches);
  const Matrix keys_in = View(layout_.keys_in, patches);
  HEADROOM_RETURN_IF_ERROR(runtime::Convert(device_, {.x = y, .y = values_in}));
  HEADROOM_RETURN_IF_ERROR(AddPositions(pieces, y));
  HEADROOM_RETURN_IF_ERROR(runtime::Convert(device_, {.x = y, .y = keys_in}));
  HEADROOM_RETURN_IF_ERROR(runtime::Linear(device_, {.x = keys_in,
                                                     .weight = in_proj_.RowRange(width_, width_),
                                                     .bias = in_proj_bias_ + width_,
                                                     .y = View(layout_.keys, patches),
                                                     .scratch = LinearScratch()}));
  HEADROOM_RETURN_IF_ERROR(runtime::Linear(device_, {.x = values_in,
                                                     .weight = in_proj_.RowRange(2 * width_, width_),
                                                     .bias = in_proj_bias_ + 2 * width_,
                                                     .y = View(layout_.values, patches),
                                                     .scratch = LinearScratch()}));

  const Matrix pooled = View(layout_.pooled, queries);
  const Matrix projected = View(layout_.projected, queries);
  const Matrix projected_normed = View(layout_.projected_normed, queries);
  const Matrix embeddings = View(layout_.embeddings, queries);
  HEADROOM_RETURN_IF_ERROR(Attend(pieces, pooled));
  HEADROOM_RETURN_IF_ERROR(runtime::Linear(
      device_, {.x = pooled, .weight = out_proj_, .bias = out_proj_bias_, .y = projected, .scratch = LinearScratch()}));
  HEADROOM_RETURN_IF_ERROR(Normalize(norm_post_, projected, projected_normed));
  // As stored: the input index comes first.
  HEADROOM_RETURN_IF_ERROR(runtime::Linear(
      device_,
      {.x = projected_normed, .weight = proj_, .y = embeddings, .weight_is_kn = true, .scratch = LinearScratch()}));
  return ConstMatrix(embeddings);
}

// kv = LN_kv(X·Wkvᵀ), f32.
absl::Status Resampler::Project(int64_t patches) {
  const Matrix x = View(layout_.normed, patches);
  const Matrix y = View(layout_.kv, patches);
  HEADROOM_RETURN_IF_ERROR(runtime::Linear(device_, {.x = x, .weight = kv_proj_, .y = y, .scratch = LinearScratch()}));
  return Normalize(norm_kv_, y, y);
}

// The first half of the width encodes the column of the patch, the second half the row.
absl::Status Resampler::AddPositions(std::span<const model::PatchGrid> pieces, Matrix y) {
  int64_t side = 0;
  for (const model::PatchGrid& grid : pieces) side = std::max<int64_t>({side, grid.rows, grid.cols});
  // side ≤ patches, and the keys are not computed yet: their memory has room for the table.
  const Matrix table = View(layout_.keys, side).ColRange(0, width_ / 2);
  SineTable(table);

  const std::span<int32_t> index = worker::SpanOf<int32_t>(workspace_, layout_.position_index, y.rows);
  for (const bool of_columns : {true, false}) {
    auto next = index.begin();
    for (const model::PatchGrid& grid : pieces) {
      for (int r = 0; r < grid.rows; ++r) {
        for (int c = 0; c < grid.cols; ++c) *next++ = of_columns ? c : r;
      }
    }
    HEADROOM_RETURN_IF_ERROR(runtime::AddGathered(
        device_, {.index = index, .table = table, .y = y.ColRange(of_columns ? 0 : width_ / 2, width_ / 2)}));
  }
  return absl::OkStatus();
}

// The same queries for every piece, each over the patches of its own piece.
absl::Status Resampler::Attend(std::span<const model::PatchGrid> pieces, Matrix pooled) {
  std::vector<runtime::AttentionSegment> segments;
  segments.reserve(pieces.size());
  int64_t patches = 0;
  for (const model::PatchGrid& grid : pieces) {
    segments.push_back({.q_begin = 0,
                        .q_count = query_num_,
                        .k_begin = patches,
                        .k_count = grid.patches(),
                        .out_begin = static_cast<int64_t>(segments.size()) * query_num_});
    patches += grid.patches();
  }
  const int64_t head_dim = width_ / heads_;
  return runtime::Attention(device_, {.q = q_,
                                      .k = View(layout_.keys, patches),
                                      .v = View(layout_.values, patches),
                                      .segments = segments,
                                      .heads = heads_,
                                      .head_dim = head_dim,
                                      .scale = 1.0f / std::sqrt(static_cast<float>(head_dim)),
                                      .out = pooled,
                                      .scratch = worker::BytesOf(workspace_, layout_.attention_scratch)});
}

}  // namespace headroom::vision_worker
