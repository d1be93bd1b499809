#include "model/reading/decoder_fields.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/reading/limits.h"
#include "model/reading/stop_ids.h"

namespace headroom::model::reading {
namespace {

int64_t Size(FieldReader& text, const char* name, int64_t min, int64_t max, int64_t class_default) {
  return class_default == 0 ? text.Int(name, min, max) : text.IntOr(name, min, max, class_default);
}

// num_key_value_heads must divide num_attention_heads.
int64_t ReadKvHeads(FieldReader& text, int64_t heads, int64_t class_default) {
  const char* name = "num_key_value_heads";
  const int64_t kv_heads = text.Has(name) || class_default > 0
                               ? text.IntOr(name, 1, kHeadsMax, class_default)
                               : text.IntElse(name, 1, kHeadsMax, heads, "as many as num_attention_heads");
  if (heads % kv_heads != 0) {
    text.Fail(name, absl::StrCat(kv_heads, " does not divide num_attention_heads ", heads));
  }
  return kv_heads;
}

// Absent, it is hidden_size / heads; where that is no whole even number, the class's.
int64_t ReadHeadDim(FieldReader& text, int64_t hidden, int64_t heads, const DecoderDefaults& defaults) {
  if (text.Has("head_dim")) {
    const int64_t head_dim = text.Int("head_dim", 2, kHeadDimMax);
    if (head_dim % 2 != 0) {
      text.Fail("head_dim", absl::StrCat(head_dim, " must be even and at most ", kHeadDimMax));
      return 2;
    }
    return head_dim;
  }
  const int64_t head_dim = hidden / heads;
  const bool follows = hidden % heads == 0 && head_dim % 2 == 0 && head_dim >= 2 && head_dim <= kHeadDimMax;
  if (follows && (!defaults.head_dim_fixed || head_dim == defaults.head_dim)) return head_dim;
  if (defaults.head_dim > 0) {
    return text.IntElse("head_dim", 2, kHeadDimMax, defaults.head_dim, "as in models of this family");
  }
  text.Fail("hidden_size",
            hidden % heads != 0
                ? absl::StrCat(hidden, " is not a multiple of num_attention_heads ", heads, ", and head_dim is missing")
                : absl::StrCat(hidden, " gives num_attention_heads ", heads, " a head_dim of ", head_dim,
                               ", which must be even and at most ", kHeadDimMax));
  return 2;
}

bool ReadTied(FieldReader& config, FieldReader& text, bool class_default) {
  const char* name = "tie_word_embeddings";
  return config.Has(name) || !text.Has(name) ? config.BoolOr(name, class_default) : text.BoolOr(name, class_default);
}

// Layers with a window: those that layer_types names, else those from max_window_layers on.
void ReadWindow(FieldReader& text, DecoderSpec& decoder) {
  const std::vector<std::string> types = text.Strings("layer_types");
  decoder.windowed_layers =
      std::count_if(types.begin(), types.end(), [](const std::string& type) { return type != "full_attention"; });
  if (text.Has("sliding_window")) decoder.window = text.Int("sliding_window", 1, kPositionsMax);
  if (!types.empty()) return;
  // A file without use_sliding_window has the window in use when it gives one: Mistral.
  const bool used = text.Bool("use_sliding_window", text.Has("sliding_window"));
  if (!used || !text.Has("sliding_window")) return;
  const int64_t full = text.Has("max_window_layers") ? text.Int("max_window_layers", 0, kPositionsMax) : 0;
  decoder.windowed_layers = std::max<int64_t>(0, decoder.layers - full);
}

}  // namespace

DecoderSpec ReadDecoder(FieldReader& config, FieldReader& text, const DecoderDefaults& defaults) {
  DecoderSpec decoder;
  decoder.hidden_size = Size(text, "hidden_size", 2, kWidthMax, defaults.hidden_size);
  decoder.intermediate_size = Size(text, "intermediate_size", 1, kMlpWidthMax, defaults.intermediate_size);
  decoder.layers = Size(text, "num_hidden_layers", 1, kLayersMax, defaults.layers);
  decoder.heads = Size(text, "num_attention_heads", 1, kHeadsMax, defaults.heads);
  const bool latent = defaults.rope_dim > 0;
  decoder.kv_heads = latent ? decoder.heads : ReadKvHeads(text, decoder.heads, defaults.kv_heads);
  decoder.head_dim = latent ? defaults.rope_dim : ReadHeadDim(text, decoder.hidden_size, decoder.heads, defaults);
  decoder.rms_norm_eps = text.Number("rms_norm_eps", 0, 1, defaults.rms_norm_eps);
  decoder.max_position_embeddings = text.IntOr("max_position_embeddings", 1, kPositionsMax, defaults.positions);
  absl::StatusOr<Rope> rope = ParseRope(text.fields(), decoder.max_position_embeddings, decoder.head_dim);
  text.Adopt(rope.status());
  if (rope.ok()) decoder.rope = *std::move(rope);
  decoder.max_position_embeddings = RopePositions(decoder.rope.scaling, decoder.max_position_embeddings);
  decoder.vocab_size = Size(text, "vocab_size", 1, kVocabularyMax, defaults.vocab_size);
  decoder.tie_word_embeddings = ReadTied(config, text, defaults.tied);
  AddStopIds(config, decoder.vocab_size, decoder.eos_token_ids);
  if (&text != &config) AddStopIds(text, decoder.vocab_size, decoder.eos_token_ids);
  decoder.activation = text.String("hidden_act", decoder.activation);
  decoder.mlp_bias = text.Bool("mlp_bias", false);
  ReadWindow(text, decoder);
  return decoder;
}

Experts ReadExperts(FieldReader& text, int64_t layers, const Experts& defaults) {
  Experts moe;
  moe.experts = text.IntOr("n_routed_experts", 1, kExpertsMax, defaults.experts);
  moe.per_token = text.IntOr("num_experts_per_tok", 1, kExpertsMax, defaults.per_token);
  moe.shared = text.IntOr("n_shared_experts", 0, 256, defaults.shared);
  moe.mlp = text.IntOr("moe_intermediate_size", 1, kWidthMax, defaults.mlp);
  moe.first = text.IntOr("first_k_dense_replace", 0, kLayersMax, defaults.first);
  moe.every = text.Has("moe_layer_freq") ? text.Int("moe_layer_freq", 1, kLayersMax) : 1;
  if (moe.per_token > moe.experts) {
    text.Fail("num_experts_per_tok", absl::StrCat(moe.per_token, " is above n_routed_experts ", moe.experts));
  }
  if (moe.first > layers) {
    text.Fail("first_k_dense_replace", absl::StrCat(moe.first, " is above num_hidden_layers ", layers));
  }
  return moe;
}

}  // namespace headroom::model::reading
