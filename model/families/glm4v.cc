// GLM-4.1V and GLM-4.6V-Flash, AutoGLM-Phone: a dense decoder in the manner of GLM-4-0414.
#include "common/status.h"
#include "model/families/glm_vision.h"
#include "model/families/limits.h"

namespace headroom::model::families {

absl::StatusOr<ModelCard> Glm4vCard(const FamilyInput& input) {
  ModelCard card;
  card.family = "GLM-4.1V";
  FieldReader config(input.config, "", card.assumed);
  // Early files hold the decoder's fields at the top.
  FieldReader text =
      config.Has("text_config") || !config.Has("hidden_size") ? FieldReader::Object(config, "text_config") : config;
  TextShape shape;
  shape.hidden = text.IntOr("hidden_size", 2, kWidthMax, 4096);
  shape.mlp = text.IntOr("intermediate_size", 1, kMlpWidthMax, 13696);
  shape.layers = text.IntOr("num_hidden_layers", 1, kLayersMax, 40);
  shape.heads = text.IntOr("num_attention_heads", 1, kHeadsMax, 32);
  shape.vocab = text.IntOr("vocab_size", 1, kVocabularyMax, 151552);
  ReadHeads(text, shape, 2);
  shape.positions = text.IntOr("max_position_embeddings", 1, kPositionsMax, 32768);
  shape.tied = ReadTied(config, text, false);
  shape.qkv_bias = true;
  shape.norms_per_layer = 4;
  const SiteFormats formats = ReadQuantization(config, text, LayersOfSites(shape.layers, {}));
  config.Adopt(text.status());

  CardBuilder builder(card, formats);
  AddGlmVision(input, config, shape.hidden, builder, card);
  HEADROOM_RETURN_IF_ERROR(config.status());
  AddDenseDecoder(shape, shape.head_dim / 2, builder, card);
  return card;
}

}  // namespace headroom::model::families
