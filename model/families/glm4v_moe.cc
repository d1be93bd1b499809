// GLM-4.5V and GLM-4.6V: the encoder of GLM-4.1V before a decoder with experts.
#include "common/status.h"
#include "model/families/glm_vision.h"
#include "model/families/limits.h"

namespace headroom::model::families {

absl::StatusOr<ModelCard> Glm4vMoeCard(const FamilyInput& input) {
  ModelCard card;
  card.family = "GLM-4.5V / GLM-4.6V";
  FieldReader config(input.config, "", card.assumed);
  FieldReader text =
      config.Has("text_config") || !config.Has("hidden_size") ? FieldReader::Object(config, "text_config") : config;
  TextShape shape;
  shape.hidden = text.IntOr("hidden_size", 2, kWidthMax, 4096);
  shape.mlp = text.IntOr("intermediate_size", 1, kMlpWidthMax, 10944);
  shape.layers = text.IntOr("num_hidden_layers", 1, kLayersMax, 46);
  shape.heads = text.IntOr("num_attention_heads", 1, kHeadsMax, 96);
  shape.vocab = text.IntOr("vocab_size", 1, kVocabularyMax, 151424);
  ReadHeads(text, shape, 8, 128);
  shape.positions = text.IntOr("max_position_embeddings", 1, kPositionsMax, 65536);
  shape.tied = ReadTied(config, text, false);
  shape.qkv_bias = text.BoolOr("attention_bias", true);
  const ExpertShape moe = ReadExperts(
      text, shape.layers, {.layers = 0, .experts = 128, .per_token = 8, .shared = 1, .mlp = 1408}, /*dense_default=*/1);
  const SiteFormats formats = ReadQuantization(config, text, LayersOfSites(shape.layers, moe));
  config.Adopt(text.status());

  CardBuilder builder(card, formats);
  AddGlmVision(input, config, shape.hidden, builder, card);
  HEADROOM_RETURN_IF_ERROR(config.status());
  builder.Embeddings(shape.vocab, shape.hidden, shape.tied, shape.head_dim / 2);
  builder.GroupedAttention(shape);
  builder.GatedMlp(Site::kMlp, "", shape.layers - moe.layers, shape.hidden, shape.mlp);
  builder.Experts(shape.hidden, moe);
  if (moe.layers == shape.layers) shape.mlp = 0;
  SetTextShapes(shape, moe, card);
  return card;
}

}  // namespace headroom::model::families
