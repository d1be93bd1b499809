// Fields of config.json that decoders have in common, read into a DecoderSpec.
#pragma once

#include <cstdint>

#include "model/decoder_spec.h"
#include "model/reading/field_reader.h"

namespace headroom::model::reading {

// Of the class of a model, for fields that its config.json may leave out; 0: it must not.
struct DecoderDefaults {
  int64_t hidden_size = 0, intermediate_size = 0, layers = 0, heads = 0, vocab_size = 0;
  int64_t kv_heads = 0;         // 0: as many as heads
  int64_t head_dim = 0;         // 0: hidden_size / heads
  bool head_dim_fixed = false;  // the class has one value whatever the width
  int64_t rope_dim = 0;         // latent attention: elements of a head that turn; there is no head_dim, nor KV heads
  int64_t positions = 2048;
  double rms_norm_eps = 1e-6;
  bool tied = false;
};

// Sizes, rope, vocabulary, ends, activation, biases of the MLP and windows. Errors stay in `text`. What families differ
// in (biases of the attention, norms, experts) is left at its default. `config` is the whole file, where it is another
// object: tie_word_embeddings and eos_token_id may stand in either.
DecoderSpec ReadDecoder(FieldReader& config, FieldReader& text, const DecoderDefaults& defaults);

// first_k_dense_replace, moe_layer_freq and the expert fields, checked against one another. `defaults` are the class's.
Experts ReadExperts(FieldReader& text, int64_t layers, const Experts& defaults);

}  // namespace headroom::model::reading
