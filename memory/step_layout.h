// The workspace of one forward pass, laid out. The plan prices a step with these functions and the worker places its
// buffers with them, so plan = allocation. Rows that a matrix product reads or writes are rounded up by the runtime's
// bucket function (LinearRows); a buffer has memory for so many rows, with contents that nobody reads. Buffers that
// never live at the same time share memory.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "common/dtype.h"
#include "model/card.h"

namespace headroom::memory {

// Bytes from the start of the workspace; offset is a multiple of 64.
struct Region {
  int64_t offset = 0;
  int64_t bytes = 0;
};

// Rounds a number of rows up to the bucket that products run at: result ≥ rows, monotone.
using RowBucket = int64_t (*)(int64_t rows);
inline int64_t ExactRows(int64_t rows) { return rows; }

// Vision tower, then what joins patches into tokens: a resampler, or (families that are plan only) a merger. P =
// patches of the step, B = pieces, both rounded where "rows" is said; D = width of the tower, I = its mlp_out (mlp_in
// where that differs), E = width of the decoder, Q = query_num, M = patches a merged token. "compute" is fp32 or bf16.
struct VisionStepLayout {
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
  int64_t query_rows = 0;  // rows(pieces · query_num), or rows(patches / M)

  // Live through the tower.
  Region position_index;  // i32 [P]          row of the position table per patch
  Region x;               // f32 [P rows, D]  residual stream
  Region normed;          // compute [P rows, D]  input of qkv and fc1
  // One memory for: patch embedding | attention phase | MLP phase | resampler or merger.
  Region patch_matrix;   // compute [P rows, 3·patch²]
  Region qkv;            // f32 [P rows, 3D]
  Region attention;      // compute [P rows, D]  input of out_proj
  Region mlp_hidden;     // f32 [P rows, mlp_in]
  Region mlp_activated;  // compute [P rows, I]
  // After the tower. `tower_out` (f32 [P rows, D], after the post layer norm) is `x` again: the norm may write in
  // place.
  Region tower_out;
  Region tower_normed;      // compute [P rows, D]  = normed: the tower's output as input of kv_proj
  Region kv;                // f32 [P rows, E]      X·Wkvᵀ
  Region values_in;         // compute [P rows, E]  LN_kv(kv), input of the value product
  Region keys_in;           // compute [P rows, E]  the same plus positions, input of the key product
  Region keys;              // f32 [P rows, E]
  Region values;            // f32 [P rows, E]      = kv, which is free once values_in and keys_in are there
  Region pooled;            // compute [B·Q rows, E]  attention output, input of out_proj
  Region projected;         // f32 [B·Q rows, E]      out_proj's output
  Region projected_normed;  // compute [B·Q rows, E]  LN_post(projected), input of proj
  Region embeddings;        // f32 [B·Q rows, E]
  // Merger, in place of kv … projected_normed; tokens = rows(P / M). `embeddings` is f32 [tokens, E].
  Region merged;            // compute [tokens, M·D]
  Region merger_hidden;     // f32 [tokens, merger_hidden]
  Region merger_activated;  // compute [tokens, merger_hidden]
  // Always there.
  Region linear_scratch;
  Region attention_scratch;

  int64_t bytes = 0;
};

// Decoder. T = tokens of the step, S = sequences, E = hidden, V = vocabulary; the other widths as DecoderShape names
// them: for a Llama-like model attention_in = (H+2KV)·hd, attention_out = H·hd, mlp_in = 2I, mlp_out = I.
struct LlmStepLayout {
  struct Limits {
    int64_t tokens = 0;     // max_num_batched_tokens
    int64_t sequences = 0;  // max_num_seqs; also the most rows of logits of one step
    int64_t blocks_per_sequence = 0;
    DType compute = DType::kBF16;
    RowBucket rows = ExactRows;
    int64_t linear_scratch_bytes = 0;
    int64_t attention_scratch_bytes = 0;
  };
  static absl::StatusOr<LlmStepLayout> Make(const model::DecoderShape& shape, const Limits& limits);

  Limits limits;
  int64_t token_rows = 0;  // rows(tokens)
  int64_t logit_rows = 0;  // rows(sequences)

  Region token_ids;     // i32 [T]
  Region positions;     // i32 [T]
  Region slots;         // i64 [T]  block · block_size + offset
  Region block_tables;  // i32 [S, blocks_per_sequence]
  Region x;             // f32 [T rows, E]      residual stream
  Region normed;        // compute [T rows, E]  input of qkv and gate_up
  // One memory for: attention phase | MLP phase | head.
  Region qkv;         // f32 [T rows, attention_in]
  Region attention;   // compute [T rows, attention_out]  input of o
  Region gate_up;     // f32 [T rows, mlp_in]
  Region activated;   // compute [T rows, mlp_out]  input of down
  Region router;      // f32 [T rows, router]     scores of experts; this and the next two are empty in a dense model
  Region routed_in;   // compute [T rows, routed] a token's row once for each expert that it visits
  Region routed_out;  // f32 [T rows, routed]
  Region head_input;  // compute [S rows, E]  normed rows whose logits are wanted
  Region logits;      // f32 [S rows, V]      lives until sampling is done
  Region sampling;    // 8·V bytes            order of one row, for top-k and top-p
  Region linear_scratch;
  Region attention_scratch;

  int64_t bytes = 0;
};

}  // namespace headroom::memory
