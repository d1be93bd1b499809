#include "memory/step_layout.h"

#include <algorithm>
#include <string>

#include "common/status.h"
#include "memory/arena.h"

namespace headroom::memory {
namespace {

constexpr int64_t kStepBytesMax = int64_t{1} << 56;
constexpr int64_t kLimitMax = int64_t{1} << 32;

// Places regions one after the other and notices when a size leaves its bounds.
class Placer {
 public:
  Region Add(int64_t rows, int64_t columns, int64_t element_bytes) {
    int64_t bytes = 0;
    if (__builtin_mul_overflow(rows, columns, &bytes) || __builtin_mul_overflow(bytes, element_bytes, &bytes) ||
        bytes > kStepBytesMax || next_ > kStepBytesMax) {
      overflow_ = true;
      return {};
    }
    const Region region{next_, bytes};
    next_ += AlignUp(bytes);
    end_ = std::max(end_, next_);
    return region;
  }
  Region AddBytes(int64_t bytes) { return Add(1, bytes, 1); }

  // What follows shares its memory with what was placed since Mark().
  void Mark() { mark_ = next_; }
  void Rewind() { next_ = mark_; }
  // Ends the sharing: goes on behind the longest of the alternatives.
  void Join() { next_ = end_; }

  bool overflow() const { return overflow_ || end_ > kStepBytesMax; }
  int64_t bytes() const { return end_; }

 private:
  int64_t next_ = 0, end_ = 0, mark_ = 0;
  bool overflow_ = false;
};

absl::Status CheckLimit(const std::string& name, int64_t value, int64_t min) {
  if (value >= min && value <= kLimitMax) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(name, ": ", value, " is not between ", min, " and ", kLimitMax));
}

absl::Status CheckScratch(int64_t linear, int64_t attention) {
  if (linear >= 0 && attention >= 0 && linear <= kStepBytesMax && attention <= kStepBytesMax) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("step layout: scratch of ", linear, " and ", attention, " bytes"));
}

absl::StatusOr<int64_t> Rounded(RowBucket rows, int64_t count) {
  const int64_t rounded = rows(count);
  if (rounded >= count && rounded <= 2 * kLimitMax) return rounded;
  return absl::InvalidArgumentError(absl::StrCat("step layout: ", count, " rows round to ", rounded));
}

absl::Status TooLarge() {
  return absl::InvalidArgumentError(absl::StrCat("step layout: needs more than ", kStepBytesMax, " bytes"));
}

}  // namespace

absl::StatusOr<VisionStepLayout> VisionStepLayout::Make(const model::EncoderShape& shape, const Limits& limits) {
  HEADROOM_RETURN_IF_ERROR(CheckLimit("vision step: patches", limits.patches, 1));
  HEADROOM_RETURN_IF_ERROR(CheckLimit("vision step: pieces", limits.pieces, 1));
  HEADROOM_RETURN_IF_ERROR(CheckScratch(limits.linear_scratch_bytes, limits.attention_scratch_bytes));
  const int64_t width = shape.width, out = shape.out;
  const int64_t element = SizeOf(limits.compute), f32 = SizeOf(DType::kF32);
  VisionStepLayout layout;
  layout.limits = limits;
  HEADROOM_ASSIGN_OR_RETURN(layout.patch_rows, Rounded(limits.rows, limits.patches));
  HEADROOM_ASSIGN_OR_RETURN(layout.query_rows,
                            Rounded(limits.rows, shape.merge > 0 ? (limits.patches + shape.merge - 1) / shape.merge
                                                                 : limits.pieces * shape.query_num));
  const int64_t p = layout.patch_rows, q = layout.query_rows;

  Placer place;
  layout.position_index = place.Add(p, 1, SizeOf(DType::kI32));
  layout.x = layout.tower_out = place.Add(p, width, f32);
  layout.normed = layout.tower_normed = place.Add(p, width, element);
  place.Mark();
  layout.patch_matrix = place.Add(p, shape.patch_values, element);
  place.Rewind();
  layout.qkv = place.Add(p, 3 * width, f32);
  layout.attention = place.Add(p, width, element);
  place.Rewind();
  layout.mlp_hidden = place.Add(p, shape.mlp_in, f32);
  layout.mlp_activated = place.Add(p, shape.mlp_out, element);
  place.Rewind();
  if (shape.merge > 0) {
    layout.merged = place.Add(q, shape.merge * width, element);
    layout.merger_hidden = place.Add(q, shape.merger_hidden, f32);
    layout.merger_activated = place.Add(q, shape.merger_hidden, element);
  } else {
    // Once keys_in and values_in are there, kv is free and the values take its place.
    layout.kv = layout.values = place.Add(p, out, f32);
    layout.values_in = place.Add(p, out, element);
    layout.keys_in = place.Add(p, out, element);
    layout.keys = place.Add(p, out, f32);
    layout.pooled = place.Add(q, out, element);
    layout.projected = place.Add(q, out, f32);
    layout.projected_normed = place.Add(q, out, element);
  }
  layout.embeddings = place.Add(q, out, f32);
  place.Join();
  layout.linear_scratch = place.AddBytes(limits.linear_scratch_bytes);
  layout.attention_scratch = place.AddBytes(limits.attention_scratch_bytes);
  if (place.overflow()) return TooLarge();
  layout.bytes = place.bytes();
  return layout;
}

absl::StatusOr<LlmStepLayout> LlmStepLayout::Make(const model::DecoderShape& shape, const Limits& limits) {
  HEADROOM_RETURN_IF_ERROR(CheckLimit("llm step: tokens", limits.tokens, 1));
  HEADROOM_RETURN_IF_ERROR(CheckLimit("llm step: sequences", limits.sequences, 1));
  HEADROOM_RETURN_IF_ERROR(CheckLimit("llm step: blocks per sequence", limits.blocks_per_sequence, 1));
  HEADROOM_RETURN_IF_ERROR(CheckScratch(limits.linear_scratch_bytes, limits.attention_scratch_bytes));
  const int64_t element = SizeOf(limits.compute), f32 = SizeOf(DType::kF32), i32 = SizeOf(DType::kI32);
  LlmStepLayout layout;
  layout.limits = limits;
  HEADROOM_ASSIGN_OR_RETURN(layout.token_rows, Rounded(limits.rows, limits.tokens));
  HEADROOM_ASSIGN_OR_RETURN(layout.logit_rows, Rounded(limits.rows, limits.sequences));
  const int64_t t = layout.token_rows, s = layout.logit_rows;

  Placer place;
  layout.token_ids = place.Add(limits.tokens, 1, i32);
  layout.positions = place.Add(limits.tokens, 1, i32);
  layout.slots = place.Add(limits.tokens, 1, sizeof(int64_t));
  layout.block_tables = place.Add(limits.sequences, limits.blocks_per_sequence, i32);
  layout.x = place.Add(t, shape.hidden, f32);
  layout.normed = place.Add(t, shape.hidden, element);
  place.Mark();
  layout.qkv = place.Add(t, shape.attention_in, f32);
  layout.attention = place.Add(t, shape.attention_out, element);
  place.Rewind();
  layout.gate_up = place.Add(t, shape.mlp_in, f32);
  layout.activated = place.Add(t, shape.mlp_out, element);
  layout.router = place.Add(t, shape.router, f32);
  layout.routed_in = place.Add(t, shape.routed, element);
  layout.routed_out = place.Add(t, shape.routed, f32);
  place.Rewind();
  layout.head_input = place.Add(s, shape.hidden, element);
  layout.logits = place.Add(s, shape.vocab, f32);
  layout.sampling = place.Add(shape.vocab, 1, sizeof(int64_t));
  place.Join();
  layout.linear_scratch = place.AddBytes(limits.linear_scratch_bytes);
  layout.attention_scratch = place.AddBytes(limits.attention_scratch_bytes);
  if (place.overflow()) return TooLarge();
  layout.bytes = place.bytes();
  return layout;
}

}  // namespace headroom::memory
