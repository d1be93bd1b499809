#include "model/decoder_spec.h"

#include <algorithm>

namespace headroom::model {

int64_t DecoderSpec::expert_layers() const {
  int64_t count = 0;
  for (int64_t layer = 0; experts && layer < layers; ++layer) count += experts->In(layer) ? 1 : 0;
  return count;
}

KvShape KvOf(const DecoderSpec& decoder) {
  if (!decoder.latent) {
    return {.layers = decoder.layers, .vectors = 2, .heads = decoder.kv_heads, .head_dim = decoder.head_dim};
  }
  const LatentAttention& latent = *decoder.latent;
  return {.layers = decoder.layers, .vectors = 1, .heads = 1, .head_dim = latent.kv_rank + latent.rope};
}

DecoderShape ShapeOf(const DecoderSpec& decoder) {
  DecoderShape shape;
  shape.hidden = decoder.hidden_size;
  shape.heads = decoder.heads;
  shape.vocab = decoder.vocab_size;
  shape.axes = decoder.rope.axes();
  shape.branch = decoder.sandwich_norms ? decoder.hidden_size : 0;
  if (decoder.latent) {
    const LatentAttention& latent = *decoder.latent;
    const int64_t cached = latent.kv_rank + latent.rope;
    // Low-rank queries, the latent vector, queries, queries folded into the latent space, and the attention's result
    // there.
    shape.attention_in = latent.q_rank + cached + decoder.heads * (latent.nope + latent.rope) + decoder.heads * cached +
                         decoder.heads * latent.kv_rank;
    shape.attention_out = decoder.heads * latent.value;
  } else {
    shape.attention_in = (decoder.heads + 2 * decoder.kv_heads) * decoder.head_dim;
    shape.attention_out = decoder.heads * decoder.head_dim;
  }
  const int64_t expert_layers = decoder.expert_layers();
  int64_t width = expert_layers < decoder.layers ? decoder.intermediate_size : 0;
  if (expert_layers > 0) {
    const Experts& experts = *decoder.experts;
    width = std::max(width, (experts.per_token + experts.shared) * experts.mlp);
    shape.routed = decoder.hidden_size * experts.per_token;
    shape.router = experts.experts;
  }
  shape.mlp_in = 2 * width;
  shape.mlp_out = width;
  return shape;
}

}  // namespace headroom::model
