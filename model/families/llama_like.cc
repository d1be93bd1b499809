// Llama and its kin as text models, with features that the engine does not serve: a plan needs no rotary arithmetic.
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "model/families/card_builder.h"
#include "model/families/limits.h"
#include "model/families/registry.h"

namespace headroom::model::families {
namespace {

// What the engine would refuse, noted one by one; none but a bias or a window changes a plan.
void NoteUnserved(FieldReader& config) {
  for (const char* name : {"rope_scaling", "rope_parameters"}) {
    if (!config.Has(name)) continue;
    FieldReader rope = FieldReader::Object(config, name);
    const std::string type = rope.String("rope_type", rope.String("type", "default"));
    if (type != "default" || rope.Has("factor")) {
      config.Note(name, absl::StrCat("not served: ", config.fields().Print(name)));
    }
    config.Adopt(rope.status());
  }
  if (config.String("hidden_act", "silu") != "silu") {
    config.Note("hidden_act", absl::StrCat("not served: ", config.fields().Print("hidden_act")));
  }
  if (config.Has("partial_rotary_factor")) {
    config.CheckNumber("partial_rotary_factor", 0, 1);
    config.Note("partial_rotary_factor", absl::StrCat("not served: ", config.fields().Print("partial_rotary_factor")));
  }
  // Mistral has a window whenever the field is set; Qwen only with use_sliding_window.
  absl::StatusOr<bool> window = config.fields().BoolOr("use_sliding_window", config.Has("sliding_window"));
  config.Adopt(window.status());
  if (window.ok() && *window && config.Has("sliding_window")) {
    config.Int("sliding_window", 1, kPositionsMax);
    config.Note("sliding_window", "not served; planned as if every layer kept all tokens");
  }
}

}  // namespace

absl::StatusOr<ModelCard> LlamaLikeCard(const FamilyInput& input) {
  ModelCard card;
  FieldReader config(input.config, "", card.assumed);
  const bool qwen2 = input.architecture == "Qwen2ForCausalLM", qwen3 = input.architecture == "Qwen3ForCausalLM";
  const bool mistral = input.architecture == "MistralForCausalLM";
  card.family = qwen2 ? "Qwen2" : qwen3 ? "Qwen3" : mistral ? "Mistral" : "Llama";

  TextShape text;
  text.hidden = config.Int("hidden_size", 2, kWidthMax);
  text.mlp = config.Int("intermediate_size", 1, kMlpWidthMax);
  text.layers = config.Int("num_hidden_layers", 1, kLayersMax);
  text.heads = config.Int("num_attention_heads", 1, kHeadsMax);
  text.vocab = config.Int("vocab_size", 1, kVocabularyMax);
  ReadHeads(config, text, mistral ? 8 : 0, qwen3 ? 128 : 0);
  // Qwen3's class has one value whatever the width.
  if (qwen3 && text.head_dim != 128) text.head_dim = config.IntOr("head_dim", 2, kHeadDimMax, 128);
  text.positions =
      config.IntOr("max_position_embeddings", 1, kPositionsMax, qwen2 || qwen3 ? 32768 : (mistral ? 131072 : 2048));
  text.tied = config.BoolOr("tie_word_embeddings", false);
  text.qk_norm = qwen3;
  text.qkv_bias = qwen2 || (!mistral && config.BoolOr("attention_bias", false));
  text.output_bias = !qwen2 && text.qkv_bias;
  text.mlp_bias = config.Has("mlp_bias") && config.BoolOr("mlp_bias", false);
  config.CheckNumber("rms_norm_eps", 0, 1);
  config.CheckNumber("rope_theta", 1, 1e12);
  NoteUnserved(config);
  const SiteFormats formats = ReadQuantization(config, config, LayersOfSites(text.layers, {}));
  HEADROOM_RETURN_IF_ERROR(config.status());

  CardBuilder builder(card, formats);
  AddDenseDecoder(text, text.head_dim, builder, card);
  return card;
}

}  // namespace headroom::model::families
