#include "vision-worker/resampler.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "worker/views.h"

namespace headroom::vision_worker {

using runtime::ConstMatrix;
using runtime::Matrix;

Resampler::Resampler(const model::ModelSpec& config, const memory::Plan& plan, runtime::DeviceSpan weights,
                     runtime::DeviceSpan workspace)
    : layout_(plan.vision_step),
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

std::vector<runtime::LinearSpec> Resampler::LinearSpecs(const model::ModelSpec& config, DType compute, int64_t patches,
                                                        int64_t pieces) {
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

runtime::DeviceSpan Resampler::LinearScratch() const { return worker::BytesOf(workspace_, layout_.linear_scratch); }

void Resampler::Normalize(runtime::Step& step, const Norm& norm, const ConstMatrix& x, const Matrix& y) {
  step.LayerNorm({.x = x, .gain = norm.gain, .bias = norm.bias, .eps = eps_, .y = y});
}

void Resampler::ComputeQueries(runtime::Step& step) {
  const Matrix normed = View(layout_.projected_normed, query_num_);
  const Matrix product = View(layout_.projected, query_num_);
  Normalize(step, norm_q_, query_, normed);
  ProjectIn(step, 0, normed, product);
  step.Convert({.x = product, .y = q_});
}

Matrix Resampler::Run(runtime::Step& step, int64_t pieces, int64_t patches, int64_t side) {
  const int64_t queries = pieces * query_num_;
  // Y, then Y + position: Y is finished in the input of the value product before positions are added to it.
  Project(step, patches);
  const Matrix y = View(layout_.kv, patches);
  const Matrix values_in = View(layout_.values_in, patches), keys_in = View(layout_.keys_in, patches);
  step.Convert({.x = y, .y = values_in});
  AddPositions(step, y, side);
  step.Convert({.x = y, .y = keys_in});
  ProjectIn(step, 1, keys_in, View(layout_.keys, patches));
  ProjectIn(step, 2, values_in, View(layout_.values, patches));

  const Matrix pooled = View(layout_.pooled, queries), projected = View(layout_.projected, queries);
  const Matrix projected_normed = View(layout_.projected_normed, queries);
  Attend(step, pieces, patches, pooled);
  ProjectOut(step, pooled, projected);
  Normalize(step, norm_post_, projected, projected_normed);
  return Embed(step, projected_normed);
}

void Resampler::MultiplyPatches(runtime::Step& step, int64_t rows) {
  step.Linear(
      {.x = View(layout_.normed, rows), .weight = kv_proj_, .y = View(layout_.kv, rows), .scratch = LinearScratch()});
  ProjectIn(step, 1, View(layout_.keys_in, rows), View(layout_.keys, rows));
}

void Resampler::MultiplyQueries(runtime::Step& step, int64_t rows) {
  ProjectOut(step, View(layout_.pooled, rows), View(layout_.projected, rows));
  Embed(step, View(layout_.projected_normed, rows));
}

// The product of attention for queries (0), keys (1) or values (2).
void Resampler::ProjectIn(runtime::Step& step, int64_t which, const Matrix& x, const Matrix& y) {
  step.Linear({.x = x,
               .weight = in_proj_.RowRange(which * width_, width_),
               .bias = in_proj_bias_.Sub(which * width_, width_),
               .y = y,
               .scratch = LinearScratch()});
}

void Resampler::ProjectOut(runtime::Step& step, const Matrix& pooled, const Matrix& y) {
  step.Linear({.x = pooled, .weight = out_proj_, .bias = out_proj_bias_, .y = y, .scratch = LinearScratch()});
}

Matrix Resampler::Embed(runtime::Step& step, const Matrix& x) {
  const Matrix embeddings = View(layout_.embeddings, x.rows);
  // As stored: the input index comes first.
  step.Linear({.x = x, .weight = proj_, .y = embeddings, .weight_is_kn = true, .scratch = LinearScratch()});
  return embeddings;
}

// kv = LN_kv(X·Wkvᵀ), f32.
void Resampler::Project(runtime::Step& step, int64_t patches) {
  const Matrix y = View(layout_.kv, patches);
  step.Linear({.x = View(layout_.normed, patches), .weight = kv_proj_, .y = y, .scratch = LinearScratch()});
  Normalize(step, norm_kv_, y, y);
}

// The first half of the width encodes the column of the patch, the second half the row.
void Resampler::AddPositions(runtime::Step& step, const Matrix& y, int64_t side) {
  const int64_t half = width_ / 2;
  // side ≤ patches, and the keys are not computed yet: their memory has room for the table.
  const Matrix table = View(layout_.keys, side).ColRange(0, half);
  step.SineTable({.table = table});
  const auto row = worker::ArrayOf<int32_t>(workspace_, layout_.patch_row, y.rows);
  const auto column = worker::ArrayOf<int32_t>(workspace_, layout_.patch_column, y.rows);
  step.AddGathered({.index = column, .table = table, .y = y.ColRange(0, half)});
  step.AddGathered({.index = row, .table = table, .y = y.ColRange(half, half)});
}

// The same queries for every piece, each over the patches of its own piece.
void Resampler::Attend(runtime::Step& step, int64_t pieces, int64_t patches, const Matrix& pooled) {
  const int64_t head_dim = width_ / heads_;
  step.Attention({.q = q_,
                  .k = View(layout_.keys, patches),
                  .v = View(layout_.values, patches),
                  .segments = worker::ArrayOf<runtime::AttentionSegment>(workspace_, layout_.query_segments, pieces),
                  .heads = heads_,
                  .head_dim = head_dim,
                  .scale = 1.0f / std::sqrt(static_cast<float>(head_dim)),
                  .out = pooled,
                  .scratch = worker::BytesOf(workspace_, layout_.attention_scratch)});
}

}  // namespace headroom::vision_worker
