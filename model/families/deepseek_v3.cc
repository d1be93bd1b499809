// DeepSeek-V3 and Kimi-K2: attention through latent vectors (MLA), a few dense layers, then experts.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "model/families/card_builder.h"
#include "model/families/limits.h"
#include "model/families/registry.h"

namespace headroom::model::families {
namespace {

constexpr int64_t kRankMax = 1 << 16;

struct LatentAttention {
  int64_t q_rank = 0;  // 0: queries straight from the hidden state
  int64_t kv_rank = 0, nope = 0, rope = 0, value = 0;
  bool bias = false;
};

LatentAttention ReadAttention(FieldReader& config) {
  LatentAttention mla;
  // Null is a value here, and not the same as absent.
  if (!config.fields().IsNull("q_lora_rank")) mla.q_rank = config.IntOr("q_lora_rank", 1, kRankMax, 1536);
  mla.kv_rank = config.IntOr("kv_lora_rank", 1, kRankMax, 512);
  mla.nope = config.IntOr("qk_nope_head_dim", 1, kHeadDimMax, 128);
  mla.rope = config.IntOr("qk_rope_head_dim", 2, kHeadDimMax, 64);
  mla.value = config.IntOr("v_head_dim", 1, kHeadDimMax, 128);
  mla.bias = config.BoolOr("attention_bias", false);
  if (mla.rope % 2 != 0) config.Fail("qk_rope_head_dim", absl::StrCat(mla.rope, " must be even"));
  return mla;
}

void AddAttention(const LatentAttention& mla, int64_t layers, int64_t hidden, int64_t heads, CardBuilder& builder) {
  const WeightPart part = WeightPart::kLlm;
  const Site site = Site::kAttention;
  const int64_t latent = mla.kv_rank + mla.rope, q_rows = heads * (mla.nope + mla.rope);
  builder.Vector(part, "llm.layers.*.norms.weight", 2 * layers, hidden);
  if (mla.q_rank > 0) {
    builder.Linear(site, "llm.layers.*.q_a.weight", layers, mla.q_rank, hidden, TensorSplit::kWhole);
    builder.Vector(part, "llm.layers.*.q_a_norm.weight", layers, mla.q_rank);
    if (mla.bias) builder.Vector(part, "llm.layers.*.q_a.bias", layers, mla.q_rank);
  }
  builder.Linear(site, "llm.layers.*.q_b.weight", layers, q_rows, mla.q_rank > 0 ? mla.q_rank : hidden,
                 TensorSplit::kRows);
  builder.Linear(site, "llm.layers.*.kv_a.weight", layers, latent, hidden, TensorSplit::kWhole);
  builder.Vector(part, "llm.layers.*.kv_a_norm.weight", layers, mla.kv_rank);
  if (mla.bias) builder.Vector(part, "llm.layers.*.kv_a.bias", layers, latent);
  // Held once; a step uses it in two halves, folded into the queries and behind the attention.
  builder.Linear(site, "llm.layers.*.kv_b.weight", layers, heads * (mla.nope + mla.value), mla.kv_rank,
                 TensorSplit::kRows);
  builder.Linear(site, "llm.layers.*.o.weight", layers, hidden, heads * mla.value, TensorSplit::kCols);
  if (mla.bias) builder.Vector(part, "llm.layers.*.o.bias", layers, hidden);
}

}  // namespace

absl::StatusOr<ModelCard> DeepseekV3Card(const FamilyInput& input) {
  ModelCard card;
  FieldReader config(input.config, "", card.assumed);
  card.family = config.String("model_type", "") == "kimi_k2" ? "Kimi-K2" : "DeepSeek-V3";
  const int64_t hidden = config.Int("hidden_size", 2, kWidthMax);
  const int64_t dense_mlp = config.Int("intermediate_size", 1, kMlpWidthMax);
  const int64_t layers = config.Int("num_hidden_layers", 1, kLayersMax);
  const int64_t heads = config.Int("num_attention_heads", 1, kHeadsMax);
  const int64_t vocab = config.Int("vocab_size", 1, kVocabularyMax);
  card.max_position_embeddings = config.IntOr("max_position_embeddings", 1, kPositionsMax, 4096);
  const bool tied = config.BoolOr("tie_word_embeddings", false);
  const LatentAttention mla = ReadAttention(config);
  const ExpertShape moe = ReadExperts(
      config, layers, {.layers = 0, .experts = 256, .per_token = 8, .shared = 1, .mlp = 2048}, /*dense_default=*/3);
  if (config.Has("num_nextn_predict_layers") && config.Int("num_nextn_predict_layers", 0, kLayersMax) > 0) {
    config.Note("num_nextn_predict_layers", "layers for speculation were not counted");
  }
  const SiteFormats formats = ReadQuantization(config, config, LayersOfSites(layers, moe));
  HEADROOM_RETURN_IF_ERROR(config.status());

  CardBuilder builder(card, formats);
  builder.Embeddings(vocab, hidden, tied, mla.rope);
  AddAttention(mla, layers, hidden, heads, builder);
  builder.GatedMlp(Site::kMlp, "", layers - moe.layers, hidden, dense_mlp);
  builder.Experts(hidden, moe);

  const int64_t latent = mla.kv_rank + mla.rope;
  card.kv = {.layers = layers, .vectors = 1, .heads = 1, .head_dim = latent};
  card.decoder.hidden = hidden;
  // Low-rank queries, the latent vector, queries, queries folded into the latent space, and the attention's result
  // there.
  card.decoder.attention_in =
      mla.q_rank + latent + heads * (mla.nope + mla.rope) + heads * latent + heads * mla.kv_rank;
  card.decoder.attention_out = heads * mla.value;
  card.decoder.vocab = vocab;
  card.decoder.heads = heads;
  SetMlpShapes(moe.layers < layers ? dense_mlp : 0, moe, card.decoder);
  return card;
}

}  // namespace headroom::model::families
