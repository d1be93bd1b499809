#include "memory/step_layout.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/arith.h"
#include "common/range.h"
#include "common/status.h"
#include "memory/alignment.h"

namespace headroom::memory {
namespace {

constexpr int64_t kStepBytesMax = int64_t{1} << 56;
constexpr int64_t kLimitMax = int64_t{1} << 32;

// One side of a buffer: how many, and what of.
struct Side {
  const char* name;
  int64_t count;
};

// Places buffers one after the other, keeps the list of them, and notices when a size leaves its bounds.
class Placer {
 public:
  explicit Placer(const std::string& title) { buffers_.whole.title = title; }

  StepBuffer Add(const char* name, Side rows, Side columns, DType type) {
    StepBuffer buffer{.name = name,
                      .rows_name = rows.name,
                      .columns_name = columns.name,
                      .rows = rows.count,
                      .columns = columns.count,
                      .type = type,
                      .offset = next_};
    int64_t bytes = 0;
    if (__builtin_mul_overflow(rows.count, columns.count, &bytes) ||
        __builtin_mul_overflow(bytes, SizeOf(type), &bytes) || bytes > kStepBytesMax || next_ > kStepBytesMax) {
      overflow_ = true;
      return {};
    }
    next_ += AlignUp(bytes);
    end_ = std::max(end_, next_);
    phase_->buffers.push_back(buffer);
    return buffer;
  }

  // What follows shares its memory with the other phases.
  void Phase(const std::string& title) {
    if (buffers_.phases.empty()) mark_ = next_;
    next_ = mark_;
    phase_ = &buffers_.phases.emplace_back(StepPhase{title, {}});
  }
  // What follows lies behind the longest phase.
  void Scratch() {
    next_ = end_;
    buffers_.scratch.title = "always";
    phase_ = &buffers_.scratch;
  }
  StepBuffer AddScratch(const char* name, int64_t bytes) { return Add(name, {"", 1}, {"", bytes}, DType::kU8); }

  // INVALID_ARGUMENT when a size left its bounds.
  absl::StatusOr<StepBuffers> Finish() && {
    if (overflow_ || end_ > kStepBytesMax) {
      return absl::InvalidArgumentError(absl::StrCat("step layout: needs more than ", kStepBytesMax, " bytes"));
    }
    buffers_.bytes = end_;
    return std::move(buffers_);
  }

 private:
  StepBuffers buffers_;
  StepPhase* phase_ = &buffers_.whole;
  int64_t next_ = 0, end_ = 0, mark_ = 0;
  bool overflow_ = false;
};

absl::Status CheckScratch(int64_t linear, int64_t attention) {
  if (linear >= 0 && attention >= 0 && linear <= kStepBytesMax && attention <= kStepBytesMax) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("step layout: scratch of ", linear, " and ", attention, " bytes"));
}

absl::StatusOr<int64_t> Rounded(const RowBucket& rows, int64_t count) {
  const int64_t rounded = rows(count);
  if (rounded >= count && rounded <= 2 * kLimitMax) return rounded;
  return absl::InvalidArgumentError(absl::StrCat("step layout: ", count, " rows round to ", rounded));
}

}  // namespace

absl::StatusOr<VisionStepLayout> VisionStepLayout::Make(const model::EncoderShape& shape, const Limits& limits) {
  HEADROOM_RETURN_IF_ERROR(CheckRange("vision step: patches", limits.patches, 1, kLimitMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("vision step: pieces", limits.pieces, 1, kLimitMax));
  HEADROOM_RETURN_IF_ERROR(CheckScratch(limits.linear_scratch_bytes, limits.attention_scratch_bytes));
  const DType compute = limits.compute, f32 = DType::kF32;
  VisionStepLayout layout;
  layout.limits = limits;
  HEADROOM_ASSIGN_OR_RETURN(layout.patch_rows, Rounded(limits.rows, limits.patches));
  HEADROOM_ASSIGN_OR_RETURN(
      layout.query_rows,
      Rounded(limits.rows, shape.merge > 0 ? CeilDiv(limits.patches, shape.merge) : limits.pieces * shape.query_num));
  const int64_t p = layout.patch_rows, q = layout.query_rows;
  const Side patches{"patches", p}, queries{shape.merge > 0 ? "tokens" : "queries", q};
  const Side width{"width", shape.width}, out{"out", shape.out};

  Placer place(absl::StrCat("through the whole step of ", limits.patches, " patches (", p, " rows)"));
  const Side one{"1", 1}, pieces{"pieces", limits.pieces}, segment{"segment", 5};
  const Side taps = shape.position_taps == 1 ? one : Side{"taps", shape.position_taps};
  layout.position_index = place.Add("position_index", patches, taps, DType::kI32);
  if (shape.position_taps > 1) layout.position_weights = place.Add("position_weights", patches, taps, f32);
  if (shape.rotary_axes > 0) {
    layout.patch_places = place.Add("patch_places", patches, {"axes", shape.rotary_axes}, DType::kI32);
  }
  // Each token could be a line of its own.
  const bool adds_rows = shape.line_rows + shape.end_rows > 0;
  const int64_t tokens = shape.merge > 0 ? CeilDiv(limits.patches, shape.merge) : 0;
  const Side rows = adds_rows ? Side{"rows", tokens * (1 + shape.line_rows) + limits.pieces * shape.end_rows} : queries;
  if (adds_rows) layout.row_index = place.Add("row_index", rows, one, DType::kI32);
  layout.tower_segments = place.Add("tower_segments", pieces, segment, DType::kI64);
  if (shape.merge == 0) {
    layout.patch_row = place.Add("patch_row", patches, one, DType::kI32);
    layout.patch_column = place.Add("patch_column", patches, one, DType::kI32);
    layout.query_segments = place.Add("query_segments", pieces, segment, DType::kI64);
  }
  layout.not_finite = place.Add("not_finite", pieces, one, DType::kI32);
  layout.x = place.Add("x", patches, width, f32);
  layout.normed = place.Add("normed", patches, width, compute);
  place.Phase("patch embedding");
  const Side values{"patch values", shape.patch_values};
  if (compute != f32) layout.pixels = place.Add("pixels", patches, values, f32);
  layout.patch_matrix = place.Add("patch_matrix", patches, values, compute);
  place.Phase("attention");
  layout.qkv = place.Add("qkv", patches, {"3 width", 3 * shape.width}, f32);
  layout.attention = place.Add("attention", patches, width, compute);
  place.Phase("MLP");
  layout.mlp_hidden = place.Add("mlp_hidden", patches, {"mlp_in", shape.mlp_in}, f32);
  layout.mlp_activated = place.Add("mlp_activated", patches, {"mlp_out", shape.mlp_out}, compute);
  if (shape.merge > 0) {
    const Side hidden{"merger_hidden", shape.merger_hidden};
    const Side last = shape.merger_out > 0 ? Side{"merger_out", shape.merger_out} : hidden;
    place.Phase(absl::StrCat("merger of ", shape.merge, " patches a token (", q, " rows)"));
    layout.merged = place.Add("merged", queries, {"merge width", shape.merge * shape.width}, compute);
    if (shape.merger_in > 0) {
      layout.merger_input = place.Add("merger_input", queries, {"merger_in", shape.merger_in}, compute);
    }
    layout.merger_hidden = place.Add("merger_hidden", queries, hidden, f32);
    layout.merger_activated = place.Add("merger_activated", queries, last, compute);
    if (adds_rows)
      layout.merger_rows = place.Add("merger_rows", {"tokens + added", q + VisionStepLayout::kAddedRows}, out, f32);
  } else {
    place.Phase(absl::StrCat("resampler of ", limits.pieces, " pieces (", q, " query rows)"));
    // Once keys_in and values_in are there, kv is free and the values take its place.
    layout.kv = layout.values = place.Add("kv, then values", patches, out, f32);
    layout.values_in = place.Add("values_in", patches, out, compute);
    layout.keys_in = place.Add("keys_in", patches, out, compute);
    layout.keys = place.Add("keys", patches, out, f32);
    layout.pooled = place.Add("pooled", queries, out, compute);
    layout.projected = place.Add("projected", queries, out, f32);
    layout.projected_normed = place.Add("projected_normed", queries, out, compute);
  }
  layout.embeddings = place.Add("embeddings", rows, out, f32);
  place.Scratch();
  layout.linear_scratch = place.AddScratch("linear_scratch", limits.linear_scratch_bytes);
  layout.attention_scratch = place.AddScratch("attention_scratch", limits.attention_scratch_bytes);
  HEADROOM_ASSIGN_OR_RETURN(layout.buffers, std::move(place).Finish());
  layout.limits.rows = nullptr;  // asks a device, which may be gone when the layout is read
  return layout;
}

absl::StatusOr<LlmStepLayout> LlmStepLayout::Make(const model::DecoderShape& shape, const Limits& limits) {
  HEADROOM_RETURN_IF_ERROR(CheckRange("llm step: tokens", limits.tokens, 1, kLimitMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("llm step: sequences", limits.sequences, 1, kLimitMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("llm step: blocks per sequence", limits.blocks_per_sequence, 1, kLimitMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("llm step: changes per sequence", limits.changes_per_sequence, 1, kLimitMax));
  HEADROOM_RETURN_IF_ERROR(CheckScratch(limits.linear_scratch_bytes, limits.attention_scratch_bytes));
  const DType compute = limits.compute, f32 = DType::kF32;
  LlmStepLayout layout;
  layout.limits = limits;
  HEADROOM_ASSIGN_OR_RETURN(layout.token_rows, Rounded(limits.rows, limits.tokens));
  HEADROOM_ASSIGN_OR_RETURN(layout.logit_rows, Rounded(limits.rows, limits.sequences));
  const int64_t t = layout.token_rows, s = layout.logit_rows;
  const Side tokens{"tokens", limits.tokens}, sequences{"sequences", limits.sequences}, one{"1", 1};
  const Side rows{"token rows", t}, logit_rows{"logit rows", s}, hidden{"hidden", shape.hidden};
  const Side routed{"routed", shape.routed}, vocabulary_bits{"vocabulary words", (shape.vocab + 31) / 32};
  // Every token of a prompt can be measured; one token of each sequence is drawn.
  const Side samples{"tokens + sequences", limits.tokens + limits.sequences};

  Placer place(absl::StrCat("through the whole step of ", limits.tokens, " tokens (", t, " rows)"));
  layout.token_ids = place.Add("token_ids", tokens, one, DType::kI32);
  layout.positions = place.Add("positions", tokens, shape.axes == 1 ? one : Side{"axes", shape.axes}, DType::kI32);
  layout.slots = place.Add("slots", tokens, one, DType::kI64);
  layout.sequences = place.Add("sequences", sequences, {"sequence", 3}, DType::kI64);
  layout.copies = place.Add("copies", sequences, {"from, to", 2}, DType::kI32);
  layout.sample_rows = place.Add("sample_rows", samples, {"parameters", 9}, DType::kI64);
  layout.block_tables = place.Add("block_tables", sequences, {"blocks", limits.blocks_per_sequence}, DType::kI32);
  layout.seen = place.Add("seen", sequences, vocabulary_bits, DType::kI32);
  layout.changes = place.Add("changes", sequences, {"id, delta", 2 * limits.changes_per_sequence}, DType::kI32);
  layout.allowed = place.Add("allowed", {"1 + sequences", 1 + limits.sequences}, vocabulary_bits, DType::kI32);
  layout.sampled = place.Add("sampled", samples, one, DType::kI32);
  layout.measured = place.Add("measured", samples, {"measure", 2}, DType::kI64);
  layout.alternatives = place.Add("alternatives", samples, {"likeliest", 20}, DType::kI64);
  layout.x = place.Add("x", rows, hidden, f32);
  layout.normed = place.Add("normed", rows, hidden, compute);
  if (shape.branch > 0) layout.branch = place.Add("branch", rows, {"hidden", shape.branch}, f32);
  place.Phase("attention");
  layout.qkv = place.Add("qkv", rows, {"attention_in", shape.attention_in}, f32);
  layout.attention = place.Add("attention", rows, {"attention_out", shape.attention_out}, compute);
  const bool experts = shape.router + shape.routed > 0;
  place.Phase(experts ? "MLP and experts" : "MLP");
  layout.gate_up = place.Add("gate_up", rows, {"mlp_in", shape.mlp_in}, f32);
  layout.activated = place.Add("activated", rows, {"mlp_out", shape.mlp_out}, compute);
  if (experts) {
    // A token's row goes once to each expert that it visits.
    layout.router = place.Add("router", rows, {"experts", shape.router}, f32);
    layout.routed_in = place.Add("routed_in", rows, routed, compute);
    layout.routed_out = place.Add("routed_out", rows, routed, f32);
  }
  place.Phase(absl::StrCat("logits of ", limits.sequences, " sequences (", s, " rows)"));
  layout.head_input = place.Add("head_input", logit_rows, hidden, compute);
  layout.logits = place.Add("logits", logit_rows, {"vocabulary", shape.vocab}, f32);
  layout.sampling = place.Add("sampling", {"vocabulary", shape.vocab}, one, DType::kI64);
  place.Scratch();
  layout.linear_scratch = place.AddScratch("linear_scratch", limits.linear_scratch_bytes);
  layout.attention_scratch = place.AddScratch("attention_scratch", limits.attention_scratch_bytes);
  HEADROOM_ASSIGN_OR_RETURN(layout.buffers, std::move(place).Finish());
  layout.limits.rows = nullptr;  // asks a device, which may be gone when the layout is read
  return layout;
}

}  // namespace headroom::memory
