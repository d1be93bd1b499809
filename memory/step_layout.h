// The workspace of one forward pass, laid out. The plan prices a step with these functions, the worker places its
// buffers with them, and `explain` prints them: one list of buffers, so plan = allocation = explanation. Rows that a
// matrix product reads or writes are rounded up to the device's buckets; a buffer has memory for so many rows, with
// contents that nobody reads. Buffers of different phases never live at the same time and share memory.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/dtype.h"
#include "model/spec.h"

namespace headroom::memory {

// One buffer: rows × columns of a type, row-major. `offset` counts bytes from the start of the workspace and is a
// multiple of 64.
struct StepBuffer {
  const char* name = "";
  const char* rows_name = "";     // what is counted, for people
  const char* columns_name = "";  // empty: scratch, whose bytes the kernels ask for
  int64_t rows = 0;
  int64_t columns = 0;
  DType type = DType::kF32;
  int64_t offset = 0;

  int64_t bytes() const { return rows * columns * SizeOf(type); }
};

// Buffers that live at the same time.
struct StepPhase {
  std::string title;
  std::vector<StepBuffer> buffers;
};

// All buffers of a step: those of `whole` lie one after the other, then one memory for whichever of `phases` is the
// largest, then `scratch`.
struct StepBuffers {
  StepPhase whole;
  std::vector<StepPhase> phases;
  StepPhase scratch;
  int64_t bytes = 0;
};

// Rounds a number of rows up to the bucket that products run at: result ≥ rows, monotone.
using RowBucket = std::function<int64_t(int64_t rows)>;
inline int64_t ExactRows(int64_t rows) { return rows; }

// Vision tower, then what joins patches into tokens: a resampler or a merger. The members are the entries of `buffers`
// that the model code works with; shapes stand in step_layout.cc.
struct VisionStepLayout {
  static constexpr int64_t kAddedRows = 3;  // kinds of rows that a merger adds: newline, begin, end
  struct Limits {
    int64_t patches = 0;  // most patches of a step, all pieces together
    int64_t pieces = 0;   // most pieces of a step
    DType compute = DType::kBF16;
    RowBucket rows = ExactRows;
    int64_t linear_scratch_bytes = 0;
    int64_t attention_scratch_bytes = 0;
  };
  // INVALID_ARGUMENT when a limit is below 1 or a size leaves int64.
  static absl::StatusOr<VisionStepLayout> Make(const model::EncoderShape& shape, const Limits& limits);

  Limits limits;
  int64_t patch_rows = 0;  // rows(patches)
  int64_t query_rows = 0;  // rows(pieces · query_num), or rows(patches / merge)
  StepBuffers buffers;

  // Built on the host and moved once a step.
  StepBuffer position_index;           // rows of the position table per patch
  StepBuffer position_weights;         // of several such rows
  StepBuffer patch_places;             // rotary positions: row and column of each patch in its piece
  StepBuffer patch_row, patch_column;  // resampler: the same
  StepBuffer row_index;                // merger that adds rows: the row of merger_rows that each embedding is
  StepBuffer tower_segments, query_segments;
  StepBuffer pixels;  // as they come, where they are not computed with as they are
  // Of the step.
  StepBuffer not_finite;                 // per piece; comes back
  StepBuffer x;                          // residual stream
  StepBuffer normed;                     // input of qkv and fc1, in the end of kv_proj
  StepBuffer patch_matrix;               // patch embedding
  StepBuffer qkv, attention;             // attention is the input of out_proj
  StepBuffer mlp_hidden, mlp_activated;  // MLP
  StepBuffer kv;                         // X·Wkvᵀ
  StepBuffer values;                     // = kv, which is free once values_in and keys_in are there
  StepBuffer values_in, keys_in;         // LN_kv(kv); the same plus positions
  StepBuffer keys;
  StepBuffer pooled, projected;  // attention output; out_proj's output
  StepBuffer projected_normed;   // LN_post(projected), input of proj
  // Merger, in place of kv … projected_normed.
  StepBuffer merged;                           // joined patches
  StepBuffer merger_input;                     // of the products behind the convolution
  StepBuffer merger_hidden, merger_activated;  // between them; input of the last one
  StepBuffer merger_rows;  // of tokens, behind them those that are added; empty: they are embeddings
  StepBuffer embeddings;
  StepBuffer linear_scratch, attention_scratch;
};

// Decoder. The widths are those of DecoderShape: for a Llama-like model attention_in = (heads + 2 kv_heads) · head_dim,
// attention_out = heads · head_dim, mlp_in = 2 · intermediate, mlp_out = intermediate.
struct LlmStepLayout {
  struct Limits {
    int64_t tokens = 0;     // max_num_batched_tokens
    int64_t sequences = 0;  // max_num_seqs; also the most rows of logits at once
    int64_t blocks_per_sequence = 0;
    int64_t changes_per_sequence = 1;  // ids whose logit a request changes: bias, penalties, stop ids
    DType compute = DType::kBF16;
    RowBucket rows = ExactRows;
    int64_t linear_scratch_bytes = 0;
    int64_t attention_scratch_bytes = 0;
  };
  static absl::StatusOr<LlmStepLayout> Make(const model::DecoderShape& shape, const Limits& limits);

  Limits limits;
  int64_t token_rows = 0;  // rows(tokens)
  int64_t logit_rows = 0;  // rows(sequences)
  StepBuffers buffers;

  // Built on the host and moved once a step, in one piece up to the block tables that are used.
  StepBuffer token_ids;
  StepBuffer positions;    // one number an axis
  StepBuffer slots;        // block · block_size + offset
  StepBuffer sequences;    // first row, rows, context
  StepBuffer copies;       // of shared blocks
  StepBuffer sample_rows;  // how to sample, for each row whose token is wanted or (of a prompt) measured
  StepBuffer block_tables;
  // Row by row, of those that use them.
  StepBuffer seen;     // bits of the ids that a repetition penalty applies to
  StepBuffer changes;  // of logits
  StepBuffer allowed;  // bits of the ids that may be drawn; the first row, which stays, is the vocabulary's
  // Of the step.
  StepBuffer sampled;                 // token of each sampled row; comes back
  StepBuffer measured, alternatives;  // what logprobs are made of; come back where a row asks
  StepBuffer x;                       // residual stream
  StepBuffer normed;                  // input of qkv and gate_up
  StepBuffer branch;                  // output of o and down, where a norm sees it first; else empty
  StepBuffer qkv, attention;          // attention is the input of o
  StepBuffer gate_up, activated;      // activated is the input of down
  // Experts; empty in a dense model. Waits for: serving a model that has them.
  StepBuffer router, routed_in, routed_out;
  StepBuffer head_input, logits;  // of the rows whose logits are wanted; logits live until sampling is done
  StepBuffer sampling;            // order of one row, for top-k and top-p
  StepBuffer linear_scratch, attention_scratch;
};

}  // namespace headroom::memory
