// What a decoder does once before it serves, so that nothing is loaded or taken later.
#include <algorithm>
#include <memory>
#include <utility>

#include "llm-worker/decoder.h"

namespace headroom::llm_worker {

using runtime::Matrix;

absl::Status Decoder::WarmUp() {
  if (!device_.LoadsLate()) return absl::OkStatus();
  const Layer& layer = layers_.front();  // all layers have the same products
  for (const int64_t rows : runtime::LinearBuckets(device_.sizes(), layout_.limits.tokens)) {
    const Matrix normed = View(layout_.normed, rows);
    const auto scratch = LinearScratch();
    runtime::Step step(device_);
    step.Linear(
        {.x = normed, .weight = layer.qkv, .bias = layer.qkv_bias, .y = View(layout_.qkv, rows), .scratch = scratch});
    AddProduct(step, View(layout_.attention, rows), layer.o, layer.o_bias, layer.attention_out_norm);
    step.Linear({.x = normed, .weight = layer.gate_up, .y = View(layout_.gate_up, rows), .scratch = scratch});
    AddProduct(step, View(layout_.activated, rows), layer.down, {}, layer.mlp_out_norm);
    HEADROOM_RETURN_IF_ERROR(step.End());
  }
  for (const int64_t rows : runtime::LinearBuckets(device_.sizes(), layout_.limits.sequences)) {
    runtime::Step step(device_);
    step.Linear({.x = View(layout_.head_input, rows),
                 .weight = head_,
                 .y = View(layout_.logits, rows),
                 .scratch = LinearScratch()});
    HEADROOM_RETURN_IF_ERROR(step.End());
  }
  return absl::OkStatus();
}

absl::Status Decoder::RecordSteps() {
  if (!records_) return absl::OkStatus();
  for (const int64_t bucket : runtime::LinearBuckets(device_.sizes(), layout_.limits.sequences)) {
    const int64_t rows = std::min(bucket, layout_.limits.sequences);
    inputs_.BuildIdle(rows);
    runtime::Step step(device_);
    step.Upload(inputs_.bytes(), workspace_.data);
    Decode(step, rows);  // what is loaded late cannot be while a step is recorded
    std::unique_ptr<runtime::Recording> recording = step.Record([&] { Decode(step, rows); });
    if (recording != nullptr) step.Launch(*recording);  // the first launch takes memory, too
    HEADROOM_RETURN_IF_ERROR(step.End());
    recordings_[rows] = std::move(recording);
  }
  return absl::OkStatus();
}

int64_t Decoder::recorded_launches() const {
  return recordings_.empty() ? 0 : recordings_.rbegin()->second->launches();
}

}  // namespace headroom::llm_worker
