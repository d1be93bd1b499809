#include "tools/golden_check/sequence_run.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "common/check.h"

namespace headroom::tools {

SequenceRun::SequenceRun(llm_worker::Decoder* decoder, int64_t tokens_max, std::vector<llm_worker::TokenGrid> grids)
    : decoder_(*decoder),
      blocks_(static_cast<size_t>(llm_worker::BlocksFor(tokens_max, decoder->block_size()))),
      grids_(std::move(grids)) {
  HEADROOM_CHECK(static_cast<int64_t>(blocks_.size()) <= decoder->kv_blocks())
      << tokens_max << " tokens in " << decoder->kv_blocks() << " blocks";
  std::iota(blocks_.begin(), blocks_.end(), 0);
}

absl::Status SequenceRun::Feed(int64_t begin, std::span<const int32_t> ids, std::span<const EmbeddingSpan> embeddings,
                               std::span<const int64_t> wanted, const LogitsSink& sink) {
  for (size_t done = 0; done < ids.size();) {
    const size_t count = std::min(ids.size() - done, static_cast<size_t>(decoder_.max_tokens()));
    HEADROOM_RETURN_IF_ERROR(
        Step(begin + static_cast<int64_t>(done), ids.subspan(done, count), embeddings, wanted, sink));
    done += count;
  }
  return absl::OkStatus();
}

absl::Status SequenceRun::Step(int64_t begin, std::span<const int32_t> ids, std::span<const EmbeddingSpan> embeddings,
                               std::span<const int64_t> wanted, const LogitsSink& sink) {
  const int64_t count = static_cast<int64_t>(ids.size()), end = begin + count;
  llm_worker::StepBatch batch;
  batch.token_ids.assign(ids.begin(), ids.end());
  batch.sequences.push_back({.first_row = 0, .rows = count, .cached = begin, .blocks = blocks_, .grids = grids_});
  for (const EmbeddingSpan& span : embeddings) {
    const int64_t from = std::max(begin, span.begin), to = std::min(end, span.begin + span.rows.rows);
    if (from >= to) continue;
    batch.embeddings.push_back({.first_row = from - begin, .rows = span.rows.RowRange(from - span.begin, to - from)});
  }
  HEADROOM_RETURN_IF_ERROR(decoder_.Forward(batch).status());

  std::vector<int32_t> rows;
  for (const int64_t position : wanted) {
    if (position >= begin && position < end) rows.push_back(static_cast<int32_t>(position - begin));
  }
  for (size_t done = 0; done < rows.size();) {
    const size_t group = std::min(rows.size() - done, static_cast<size_t>(decoder_.max_logit_rows()));
    const std::span<const int32_t> part = std::span<const int32_t>(rows).subspan(done, group);
    HEADROOM_ASSIGN_OR_RETURN(const std::vector<float> logits, decoder_.Logits(part));
    const size_t vocab = logits.size() / group;
    for (size_t i = 0; i < group; ++i) {
      sink(begin + part[i], std::span(logits).subspan(i * vocab, vocab));
    }
    done += group;
  }
  return absl::OkStatus();
}

}  // namespace headroom::tools
