// What a decoder computes, as numbers: read once from config.json by the file of its family (model/families), used by
// plan, weights and engine. Each size is at most 2^31 and was checked against the others; a product of two fits int64.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/rope.h"

namespace headroom::model {

// Attention through latent vectors (MLA), in place of heads · head_dim queries, keys and values: a token's cache is
// kv_rank + rope elements, whatever the number of heads.
struct LatentAttention {
  int64_t q_rank = 0;  // 0: queries straight from the hidden state
  int64_t kv_rank = 0;
  int64_t nope = 0, rope = 0;  // of a head's query and key: the part without positions and, even, the part with
  int64_t value = 0;           // of a head
};

// Routed experts and the shared one, in layers first, first + every, first + 2 every, …
struct Experts {
  int64_t first = 0, every = 1;
  int64_t experts = 0, per_token = 0;
  int64_t shared = 0;  // experts that every token visits, joined to one MLP
  int64_t mlp = 0;     // width of one

  bool In(int64_t layer) const { return layer >= first && layer % every == 0; }
};

// RMS norm over each head of queries and keys.
enum class HeadNorm : uint8_t { kNone, kBeforeRotation, kBehindRotation };

// RMS norm, attention, RMS norm, gated MLP, each pair around a residual stream. Query head j reads key head
// j / (heads / kv_heads).
struct DecoderSpec {
  int64_t hidden_size = 0;        // E
  int64_t intermediate_size = 0;  // I, of a dense layer
  int64_t layers = 0;
  int64_t heads = 0;     // H
  int64_t kv_heads = 0;  // divides heads
  int64_t head_dim = 0;  // even; heads * head_dim need not equal hidden_size
  double rms_norm_eps = 1e-6;
  Rope rope = {};
  int64_t max_position_embeddings = 0;  // or more, where rope's scaling was made for more
  int64_t vocab_size = 0;               // V
  bool tie_word_embeddings = false;     // the head is the embedding table
  bool qkv_bias = false, output_bias = false, mlp_bias = false;
  HeadNorm head_norm = HeadNorm::kNone;
  bool sandwich_norms = false;  // norms behind attention and MLP as well, before each is added
  std::string activation = "silu";
  // Layers that see no more than the last `window` tokens; 0: none.
  int64_t windowed_layers = 0, window = 0;
  std::optional<LatentAttention> latent = {};
  std::optional<Experts> experts = {};
  std::vector<int64_t> eos_token_ids;  // of config.json and generation_config.json, without repeats; may be empty

  int64_t expert_layers() const;
};

// The cache of one token and layer: `vectors` rows of heads × head_dim elements (2: K and V. 1: a latent vector that
// all heads read, which ranks cannot split).
struct KvShape {
  int64_t layers = 0;
  int64_t vectors = 2;
  int64_t heads = 0;
  int64_t head_dim = 0;
};
KvShape KvOf(const DecoderSpec& decoder);

// Elements a token, of the buffers of a decoder step (memory/step_layout.h says which live at the same time).
struct DecoderShape {
  int64_t hidden = 0;
  int64_t attention_in = 0;   // q, k, v and what else the attention reads (MLA: latents, absorbed queries)
  int64_t attention_out = 0;  // input of the output product
  int64_t mlp_in = 0;         // gate and up; with experts: of all that one token visits, and the shared one
  int64_t mlp_out = 0;        // input of down; the same
  int64_t branch = 0;         // output of attention or MLP that a norm sees before it is added; 0: added at once
  int64_t axes = 1;           // numbers of a position
  int64_t routed = 0;         // experts: hidden × experts a token, permuted inputs and outputs; 0 when dense
  int64_t router = 0;         // experts: scores a token; 0 when dense
  int64_t vocab = 0;
  int64_t heads = 0;  // of queries: what tensor parallelism divides
};
DecoderShape ShapeOf(const DecoderSpec& decoder);

}  // namespace headroom::model
