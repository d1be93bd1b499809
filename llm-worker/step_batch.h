// What the engine hands to the decoder for one step. Everything is host memory that stays as it is until the step is
// done.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "llm-worker/kv/kv_pool.h"
#include "runtime/host_matrix.h"
#include "runtime/ops/sample.h"

namespace headroom::llm_worker {

// Tokens of a sequence that lie on a grid, row by row: those of a picture, for models that see it so.
struct TokenGrid {
  int64_t begin = 0;  // in the sequence
  int32_t rows = 0, cols = 0;

  int64_t tokens() const { return int64_t{rows} * cols; }
};

// The next `rows` tokens of one sequence.
struct StepSequence {
  int64_t first_row = 0;            // in the step
  int64_t rows = 0;                 // ≥ 1
  int64_t cached = 0;               // tokens in the cache before this step: row i is token cached + i
  std::span<const int32_t> blocks;  // block table, at least ceil((cached + rows) / block_size) blocks
  // All of the sequence, in order, wherever the step is in it; read where the model's positions have several axes.
  std::span<const TokenGrid> grids = {};
};

// Rows of the step that are a picture's embeddings instead of token embeddings.
struct EmbeddingRows {
  int64_t first_row = 0;
  runtime::HostMatrix rows;  // [n, hidden] f32 | bf16
};

// A row whose next token is wanted or, where `how.token` says which it is, measured.
struct RowSample {
  int32_t row = 0;
  runtime::SampleRow how = {};  // the places of seen, allowed and changes are filled in by StepInputs
  // Of a row whose token is drawn.
  // Ids that the repetition penalty applies to, SeenWords(vocabulary) words; may be empty where the penalty is 1.
  std::span<const uint32_t> seen = {};
  std::span<const runtime::LogitChange> changes = {};  // ids differ
  std::span<const uint32_t> allowed = {};              // SeenWords(vocabulary) words; empty: the whole vocabulary
};

struct StepBatch {
  std::vector<int32_t> token_ids;       // [T]; where embeddings go, any id of the vocabulary
  std::vector<StepSequence> sequences;  // cover every row exactly once, in order of first_row
  std::vector<EmbeddingRows> embeddings = {};
  std::vector<BlockCopy> copies = {};   // before anything is written; at most max_num_seqs
  std::vector<RowSample> samples = {};  // at most max_num_seqs that draw, and one a token that measure
};

// What a step gave, for each of StepBatch::samples.
struct StepTokens {
  std::vector<int32_t> tokens;  // or runtime::kNotFinite, runtime::kNoneAllowed
  // Where a row asked.
  std::vector<runtime::LogitMeasure> measured = {};
  std::vector<runtime::Alternative> alternatives = {};  // kAlternativesMax each
};

}  // namespace headroom::llm_worker
