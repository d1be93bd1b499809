// What a decoder does with the last layer's output: logits, and from them the next tokens.
#include <algorithm>
#include <utility>

#include "common/check.h"
#include "llm-worker/decoder.h"
#include "worker/views.h"

namespace headroom::llm_worker {

using runtime::Matrix;

// Logits of rows of x.
Matrix Decoder::Head(runtime::Step& step, std::span<const int32_t> rows, int64_t step_rows) {
  const float eps = static_cast<float>(config_.rms_norm_eps);
  const auto count = static_cast<int64_t>(rows.size());
  const Matrix x = View(layout_.x, step_rows), input = View(layout_.head_input, count);
  const Matrix logits = View(layout_.logits, count);
  // Runs of rows that follow one another, as in a step where all sequences decode, are normalised in one call.
  for (int64_t begin = 0, end = 0; begin < count; begin = end) {
    for (end = begin + 1; end < count && rows[end] == rows[end - 1] + 1;) ++end;
    step.RmsNorm({.x = x.RowRange(rows[begin], end - begin),
                  .gain = final_norm_,
                  .eps = eps,
                  .y = input.RowRange(begin, end - begin)});
  }
  step.Linear({.x = input, .weight = head_, .y = logits, .scratch = LinearScratch()});
  return logits;
}

// What few rows have, to where StepInputs says that it lies.
void Decoder::UploadRules(runtime::Step& step, std::span<const RowSample> samples) {
  const int64_t words = runtime::SeenWords(config_.vocab_size);
  const auto seen = worker::ArrayOf<uint32_t>(workspace_, layout_.seen, layout_.limits.sequences * words);
  const auto allowed = worker::ArrayOf<uint32_t>(workspace_, layout_.allowed, (1 + layout_.limits.sequences) * words);
  const auto changes = worker::ArrayOf<runtime::LogitChange>(
      workspace_, layout_.changes, layout_.limits.sequences * layout_.limits.changes_per_sequence);
  int64_t drawn = 0;
  for (const RowSample& sample : samples) {
    if (sample.how.token >= 0) continue;
    const bool penalized = sample.how.sampling.repetition_penalty != 1.0f;
    if (penalized) step.Upload(std::as_bytes(sample.seen), seen.Sub(drawn * words, 0).data);
    if (!sample.changes.empty()) {
      const int64_t first = drawn * layout_.limits.changes_per_sequence;
      step.Upload(std::as_bytes(sample.changes), changes.Sub(first, 0).data);
    }
    if (!sample.allowed.empty()) {
      step.Upload(std::as_bytes(sample.allowed), allowed.Sub((1 + drawn) * words, 0).data);
    }
    ++drawn;
  }
}

void Decoder::Sample(runtime::Step& step, const StepBatch& batch, bool has_logits, StepTokens& sampled) {
  static_assert(sizeof(runtime::SampleRow) == 9 * sizeof(int64_t));  // as the layout has it
  static_assert(sizeof(runtime::LogitMeasure) == 2 * sizeof(int64_t));
  static_assert(runtime::kAlternativesMax * sizeof(runtime::Alternative) == 20 * sizeof(int64_t));
  const auto count = static_cast<int64_t>(batch.samples.size());
  const int64_t words = runtime::SeenWords(config_.vocab_size), pieces_of = layout_.limits.sequences;
  const auto drawn = std::ranges::count_if(batch.samples, [](const RowSample& sample) { return sample.how.token < 0; });
  const bool measures =
      std::ranges::any_of(batch.samples, [](const RowSample& sample) { return sample.how.alternatives >= 0; });
  sample_rows_.clear();
  for (const RowSample& sample : batch.samples) sample_rows_.push_back(sample.row);
  const auto how = worker::ArrayOf<runtime::SampleRow>(workspace_, layout_.sample_rows, count);
  const auto tokens = worker::ArrayOf<int32_t>(workspace_, layout_.sampled, count);
  const auto measured = worker::ArrayOf<runtime::LogitMeasure>(workspace_, layout_.measured, measures ? count : 0);
  const auto alternatives = worker::ArrayOf<runtime::Alternative>(workspace_, layout_.alternatives,
                                                                  measures ? count * runtime::kAlternativesMax : 0);
  // A prompt that is measured has more rows than there is room for logits.
  for (int64_t begin = 0; begin < count; begin += pieces_of) {
    const int64_t some = std::min(pieces_of, count - begin);
    const int64_t told = measures ? some : 0;
    const auto piece = std::span(sample_rows_).subspan(static_cast<size_t>(begin), static_cast<size_t>(some));
    const auto step_rows = static_cast<int64_t>(batch.token_ids.size());
    step.Sample({.logits = has_logits ? View(layout_.logits, some) : Head(step, piece, step_rows),
                 .rows = how.Sub(begin, some),
                 .seen = worker::ArrayOf<uint32_t>(workspace_, layout_.seen, drawn * words),
                 .changes = worker::ArrayOf<runtime::LogitChange>(workspace_, layout_.changes,
                                                                  drawn * layout_.limits.changes_per_sequence),
                 .allowed = worker::ArrayOf<uint32_t>(workspace_, layout_.allowed, (1 + drawn) * words),
                 .tokens = tokens.Sub(begin, some),
                 .measured = measures ? measured.Sub(begin, told) : runtime::DeviceArray<runtime::LogitMeasure>(),
                 .alternatives =
                     measures ? alternatives.Sub(begin * runtime::kAlternativesMax, told * runtime::kAlternativesMax)
                              : runtime::DeviceArray<runtime::Alternative>(),
                 .scratch = worker::BytesOf(workspace_, layout_.sampling)});
  }
  sampled.tokens.resize(static_cast<size_t>(count));
  step.Download(tokens.data, std::as_writable_bytes(std::span(sampled.tokens)));
  if (!measures) return;
  sampled.measured.resize(static_cast<size_t>(count));
  sampled.alternatives.resize(static_cast<size_t>(count * runtime::kAlternativesMax));
  step.Download(measured.data, std::as_writable_bytes(std::span(sampled.measured)));
  step.Download(alternatives.data, std::as_writable_bytes(std::span(sampled.alternatives)));
}

absl::Status Decoder::SetVocabulary(std::span<const uint32_t> ids) {
  HEADROOM_CHECK(static_cast<int64_t>(ids.size()) == runtime::SeenWords(config_.vocab_size)) << ids.size();
  runtime::Step step(device_);
  step.Upload(std::as_bytes(ids), workspace_.data + layout_.allowed.offset);
  return step.End();
}

absl::StatusOr<std::vector<float>> Decoder::Logits(std::span<const int32_t> rows) {
  if (static_cast<int64_t>(rows.size()) > max_logit_rows()) {
    return absl::InvalidArgumentError(absl::StrCat("logits of ", rows.size(), " rows, limit ", max_logit_rows()));
  }
  for (const int32_t row : rows) {
    if (row >= 0 && row < step_rows_) continue;
    return absl::InvalidArgumentError(absl::StrCat("logits of row ", row, " in a step of ", step_rows_));
  }
  std::vector<float> logits(rows.size() * static_cast<size_t>(config_.vocab_size));
  runtime::Step step(device_);
  step.Download(Head(step, rows, step_rows_).data, std::as_writable_bytes(std::span(logits)));
  HEADROOM_RETURN_IF_ERROR(step.End());
  return logits;
}

}  // namespace headroom::llm_worker
