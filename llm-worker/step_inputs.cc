#include "llm-worker/step_inputs.h"

#include <algorithm>

#include "llm-worker/rotary_positions.h"
#include "runtime/ops/gather.h"
#include "runtime/ops/paged_attention.h"
#include "worker/views.h"

namespace headroom::llm_worker {

StepInputs::StepInputs(const model::DecoderSpec& config, const memory::LlmStepLayout& layout,
                       const memory::KvLayout& kv, int64_t kv_blocks)
    : config_(config),
      layout_(layout),
      kv_(kv),
      pool_({.blocks = kv_blocks, .block_size = kv.block_size()}),
      memory_(static_cast<size_t>(layout.block_tables.offset + layout.block_tables.bytes())) {}

template <typename T>
std::span<T> StepInputs::Array(const memory::StepBuffer& buffer, size_t count) {
  return worker::HostArrayOf<T>(memory_, buffer, static_cast<int64_t>(count));
}

absl::Status StepInputs::CheckRows(const StepBatch& batch) const {
  const auto rows = static_cast<int64_t>(batch.token_ids.size());
  if (rows < 1 || rows > layout_.limits.tokens) {
    return absl::InvalidArgumentError(absl::StrCat("step of ", rows, " tokens, limit ", layout_.limits.tokens));
  }
  HEADROOM_RETURN_IF_ERROR(runtime::CheckIndices(batch.token_ids, config_.vocab_size));
  for (const EmbeddingRows& e : batch.embeddings) {
    if (e.first_row < 0 || e.rows.rows < 0 || e.first_row > rows - e.rows.rows || e.rows.cols != config_.hidden_size ||
        (e.rows.dtype != DType::kF32 && e.rows.dtype != DType::kBF16)) {
      return absl::InvalidArgumentError(absl::StrCat("embeddings ", e.rows.rows, " × ", e.rows.cols, " ",
                                                     DTypeName(e.rows.dtype), " at row ", e.first_row, " in a step of ",
                                                     rows, " × ", config_.hidden_size));
    }
  }
  HEADROOM_RETURN_IF_ERROR(CheckCover(batch.sequences, rows));
  if (static_cast<int64_t>(batch.copies.size()) > layout_.limits.sequences) {
    return absl::InvalidArgumentError(
        absl::StrCat("copies of ", batch.copies.size(), " KV blocks, limit ", layout_.limits.sequences));
  }
  HEADROOM_RETURN_IF_ERROR(runtime::CheckCopies(batch.copies, pool_));
  return CheckSamples(batch.samples, rows);
}

absl::Status StepInputs::CheckCover(std::span<const StepSequence> sequences, int64_t rows) const {
  if (static_cast<int64_t>(sequences.size()) > layout_.limits.sequences) {
    return absl::InvalidArgumentError(
        absl::StrCat("step of ", sequences.size(), " sequences, limit ", layout_.limits.sequences));
  }
  const int64_t tokens_max =
      std::min(config_.max_position_embeddings, layout_.limits.blocks_per_sequence * kv_.block_size());
  int64_t next_row = 0;
  for (const StepSequence& s : sequences) {
    if (s.first_row != next_row || s.rows < 1 || s.rows > rows - next_row) {
      return absl::InvalidArgumentError(
          absl::StrCat("sequence of rows ", s.first_row, " + ", s.rows, " in a step of ", rows));
    }
    next_row += s.rows;
    HEADROOM_RETURN_IF_ERROR(CheckGrids(s.grids));
    if (s.cached < 0 || s.cached > tokens_max - s.rows) {
      return absl::InvalidArgumentError(
          absl::StrCat("sequence of ", s.cached, " + ", s.rows, " tokens, limit ", tokens_max));
    }
    if (kv_.BlocksFor(s.cached + s.rows) > static_cast<int64_t>(s.blocks.size())) {
      return absl::InvalidArgumentError(
          absl::StrCat("sequence of ", s.cached + s.rows, " tokens in ", s.blocks.size(), " KV blocks"));
    }
  }
  if (next_row == rows) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("sequences cover ", next_row, " of ", rows, " rows"));
}

absl::Status StepInputs::CheckSamples(std::span<const RowSample> samples, int64_t rows) const {
  const auto drawn = std::ranges::count_if(samples, [](const RowSample& sample) { return sample.how.token < 0; });
  const auto measured = static_cast<int64_t>(samples.size()) - drawn;
  if (drawn > layout_.limits.sequences || measured > layout_.limits.tokens) {
    return absl::InvalidArgumentError(absl::StrCat("samples of ", drawn, " rows, limit ", layout_.limits.sequences,
                                                   ", measures of ", measured, ", limit ", layout_.limits.tokens));
  }
  for (const RowSample& sample : samples) {
    if (sample.row < 0 || sample.row >= rows) {
      return absl::InvalidArgumentError(absl::StrCat("sample of row ", sample.row, " in a step of ", rows));
    }
    HEADROOM_RETURN_IF_ERROR(CheckSample(sample));
  }
  return absl::OkStatus();
}

absl::Status StepInputs::CheckSample(const RowSample& sample) const {
  const auto words = static_cast<size_t>(runtime::SeenWords(config_.vocab_size));
  HEADROOM_RETURN_IF_ERROR(runtime::CheckSampling(sample.how.sampling));
  if (sample.how.token < 0 && sample.how.sampling.repetition_penalty != 1.0f && sample.seen.size() != words) {
    return absl::InvalidArgumentError(absl::StrCat("seen ids in ", sample.seen.size(), " words, want ", words));
  }
  if (!sample.allowed.empty() && sample.allowed.size() != words) {
    return absl::InvalidArgumentError(absl::StrCat("allowed ids in ", sample.allowed.size(), " words, want ", words));
  }
  if (static_cast<int64_t>(sample.changes.size()) > layout_.limits.changes_per_sequence) {
    return absl::InvalidArgumentError(
        absl::StrCat("changes of ", sample.changes.size(), " logits, limit ", layout_.limits.changes_per_sequence));
  }
  for (const runtime::LogitChange& change : sample.changes) {
    HEADROOM_RETURN_IF_ERROR(runtime::CheckIndices({&change.id, 1}, config_.vocab_size));
  }
  if (sample.how.token >= config_.vocab_size || sample.how.alternatives > runtime::kAlternativesMax) {
    return absl::InvalidArgumentError(absl::StrCat("measure of token ", sample.how.token, " with ",
                                                   sample.how.alternatives, " alternatives; the vocabulary has ",
                                                   config_.vocab_size, ", the limit is ", runtime::kAlternativesMax));
  }
  return absl::OkStatus();
}

// Rows that draw have the first places of seen, changes and allowed, in their order.
void StepInputs::PlaceSamples(std::span<const RowSample> samples) {
  const auto rows = Array<runtime::SampleRow>(layout_.sample_rows, samples.size());
  int32_t drawn = 0;
  for (size_t i = 0; i < samples.size(); ++i) {
    runtime::SampleRow& row = rows[i] = samples[i].how;
    if (row.token >= 0) {
      row.sampling.repetition_penalty = 1.0f;
      continue;
    }
    row.seen = drawn;
    row.allowed = samples[i].allowed.empty() ? 0 : 1 + drawn;
    row.first_change = drawn * static_cast<int32_t>(layout_.limits.changes_per_sequence);
    row.changes = static_cast<int32_t>(samples[i].changes.size());
    ++drawn;
  }
}

absl::Status StepInputs::Build(const StepBatch& batch) {
  used_ = 0;
  HEADROOM_RETURN_IF_ERROR(CheckRows(batch));
  rows_ = batch.token_ids.size();
  const size_t rows = batch.token_ids.size(), count = batch.sequences.size();
  const auto table_size = static_cast<size_t>(layout_.limits.blocks_per_sequence);
  std::ranges::copy(batch.token_ids, Array<int32_t>(layout_.token_ids, rows).begin());
  std::ranges::copy(batch.copies, Array<BlockCopy>(layout_.copies, batch.copies.size()).begin());
  PlaceSamples(batch.samples);

  const auto axes = static_cast<size_t>(config_.rope.axes());
  const auto positions = Array<int32_t>(layout_.positions, rows * axes);
  const auto slots = Array<int64_t>(layout_.slots, rows);
  const auto sequences = Array<runtime::PagedSequence>(layout_.sequences, count);
  const auto tables = Array<int32_t>(layout_.block_tables, count * table_size);
  for (size_t n = 0; n < count; ++n) {
    const StepSequence& s = batch.sequences[n];
    const int64_t context = s.cached + s.rows;
    sequences[n] = {.q_begin = s.first_row, .q_count = s.rows, .context_len = context};
    const std::span<int32_t> table = tables.subspan(n * table_size, static_cast<size_t>(kv_.BlocksFor(context)));
    std::copy_n(s.blocks.begin(), table.size(), table.begin());
    PlacePositions(s, config_.rope, positions.subspan(static_cast<size_t>(s.first_row) * axes));
    for (int64_t i = 0; i < s.rows; ++i) {
      const int64_t position = s.cached + i;
      const auto row = static_cast<size_t>(s.first_row + i);
      slots[row] = int64_t{table[static_cast<size_t>(position / kv_.block_size())]} * kv_.block_size() +
                   position % kv_.block_size();
    }
  }
  HEADROOM_RETURN_IF_ERROR(runtime::CheckSequences(sequences, tables, layout_.limits.blocks_per_sequence,
                                                   static_cast<int64_t>(rows), pool_));
  HEADROOM_RETURN_IF_ERROR(runtime::CheckSlots(slots, pool_));
  HEADROOM_RETURN_IF_ERROR(runtime::CheckPositions(positions));
  used_ = static_cast<size_t>(layout_.block_tables.offset) + tables.size_bytes();
  return absl::OkStatus();
}

void StepInputs::Pad(int64_t rows) {
  const auto count = static_cast<size_t>(rows), axes = static_cast<size_t>(config_.rope.axes());
  const auto rest = [&](const auto& all) { return all.subspan(std::min(rows_, all.size())); };
  std::ranges::fill(rest(Array<int32_t>(layout_.token_ids, count)), 0);
  std::ranges::fill(Array<int32_t>(layout_.positions, count * axes).subspan(std::min(rows_, count) * axes), 0);
  std::ranges::fill(rest(Array<int64_t>(layout_.slots, count)), runtime::kNoSlot);
  std::ranges::fill(rest(Array<runtime::PagedSequence>(layout_.sequences, count)), runtime::PagedSequence{});
}

void StepInputs::BuildIdle(int64_t rows) {
  rows_ = 0;
  Pad(rows);
  used_ = static_cast<size_t>(layout_.block_tables.offset);
}

}  // namespace headroom::llm_worker
