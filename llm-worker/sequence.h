// One choice of a request inside the engine: its tokens, its KV blocks, and what it shares with the other choices.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/status.h"
#include "llm-worker/constrained_text.h"
#include "llm-worker/kv/kv_pool.h"
#include "llm-worker/logit_changes.h"
#include "llm-worker/step_batch.h"
#include "llm-worker/step_planner.h"
#include "llm-worker/token_stream.h"
#include "runtime/ops/sample.h"

namespace headroom::llm_worker {

// Prompt positions [begin, begin + rows) take these embedding rows instead of their token's.
struct EmbeddingRun {
  int64_t begin = 0;
  int64_t rows = 0;
  std::string data;     // row-major [rows, hidden] in `EngineOptions::embedding_dtype`
  int64_t columns = 0;  // of the grid on which the rows lie; 0: on none
  int64_t margin = 0;   // rows before that grid, and as many behind it
};

struct ContinuedChoice {
  int32_t choice = 0;
  std::vector<int32_t> ids = {};  // fewer than max_tokens
};

// max_tokens counts the whole answer of a choice, continued ids included, so that a moved request keeps its numbers.
struct SequenceRequest {
  std::vector<int32_t> prompt_ids;
  std::vector<EmbeddingRun> runs;  // ascending, inside the prompt, no overlap
  runtime::Sampling sampling;
  LogitRules rules;
  std::vector<int32_t> stop_ids;
  int64_t max_tokens = 0;
  int32_t n = 1;                                // choices
  std::vector<int32_t> continued_ids = {};      // of the only choice
  std::vector<ContinuedChoice> continued = {};  // of several: those that go on, ascending; none: all begin
  int32_t logprobs = -1;                        // −1: none; else alternatives beside the token
  int32_t prompt_logprobs = -1;                 // likewise, of the prompt
  // Of each of Choices(), with its ids; none: no constraint.
  std::vector<std::shared_ptr<ConstrainedText>> texts = {};

  // The choices that are to be made, with what they have.
  std::vector<ContinuedChoice> Choices() const;
};

// Checks everything above against the model: ids inside the vocabulary, runs, counts, sampling, prompt + max_tokens <=
// max_model_len. INVALID_ARGUMENT with value and limit. The data of the runs is not looked at: it may still be on its
// way.
struct ModelLimits {
  int64_t vocab_size = 0;
  int64_t max_model_len = 0;
  int64_t grid_margin = 0;  // EmbeddingRun::margin of every run
};
absl::Status CheckSequenceRequest(const SequenceRequest& request, const ModelLimits& limits);

// What the choices of one request share.
struct AnswerGroup {
  SequenceRequest request;
  std::shared_ptr<TokenStream> stream;
  std::vector<TokenGrid> grids;  // of the request's runs
  int64_t image_tokens = 0;
  int64_t open = 0;               // choices that have not ended
  int64_t completion_tokens = 0;  // of those that have
};

// Only the engine thread touches it. Dropping it gives back its blocks and its part of the leg.
class Sequence {
 public:
  // The first choice, which holds the others until the prompt is computed. `vocab_size`: the request's ids are below.
  static std::unique_ptr<Sequence> Create(SequenceRequest request, std::shared_ptr<TokenStream> stream, KvBlocks blocks,
                                          int64_t vocab_size);

  SequenceView View() const;
  const SequenceRequest& request() const { return group_->request; }
  AnswerGroup& group() const { return *group_; }
  TokenStream& stream() { return *group_->stream; }
  int32_t choice() const { return choice_; }
  std::span<const int32_t> blocks() const { return blocks_.blocks(); }
  std::span<const TokenGrid> grids() const { return group_->grids; }
  // Room of its own for the next `tokens` tokens after computed(); as KvBlocks::MakeWritable.
  absl::Status MakeRoom(int64_t tokens, std::vector<BlockCopy>& copies);

  // Prompt, continued and sampled ids.
  std::span<const int32_t> tokens() const { return tokens_; }
  int64_t computed() const { return computed_; }
  int64_t prompt_tokens() const { return static_cast<int64_t>(request().prompt_ids.size()); }
  int64_t answer_tokens() const { return static_cast<int64_t>(tokens_.size()) - prompt_tokens(); }
  // How its next token is drawn from a row of the step.
  RowSample Draw(int32_t row) const;
  // What keeps it to a grammar, or null.
  const ConstrainedText* text() const { return text_.get(); }
  const std::shared_ptr<ConstrainedText>& shared_text() const { return text_; }
  // The other choices, as long as they wait for the prompt.
  std::span<const std::unique_ptr<Sequence>> waiting() const { return waiting_; }
  // They share its prompt, which is computed, from now on. RESOURCE_EXHAUSTED as KvBlocks::Share, which the price rules
  // out.
  absl::StatusOr<std::vector<std::unique_ptr<Sequence>>> Fork();
  // Whether the prompt's token at `position` is text.
  bool IsText(int64_t position) const;

  void MarkComputed(int64_t tokens, uint64_t step);
  // Adds a sampled id; says whether and why the answer ends with it.
  Finish Append(int32_t token);

 private:
  Sequence(std::shared_ptr<AnswerGroup> group, const ContinuedChoice& start, std::shared_ptr<ConstrainedText> text,
           KvBlocks blocks, int64_t vocab_size);
  void MarkSeen(std::span<const int32_t> ids);

  std::shared_ptr<AnswerGroup> group_;
  const int32_t choice_;
  const std::shared_ptr<ConstrainedText> text_;
  KvBlocks blocks_;
  std::vector<int32_t> tokens_;
  std::vector<uint32_t>
      seen_;  // a bit for each id that the repetition penalty applies to: all but those of image positions
  LogitChanges changes_;
  std::vector<std::unique_ptr<Sequence>> waiting_;
  int64_t computed_ = 0;
  uint64_t last_step_ = 0;
};

}  // namespace headroom::llm_worker
