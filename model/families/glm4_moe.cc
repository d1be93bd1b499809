// GLM-4.5, GLM-4.5-Air, GLM-4.6: text models with experts behind a few dense layers.
#include "common/status.h"
#include "model/reading/decoder_fields.h"
#include "model/reading/glm_vision.h"
#include "model/reading/limits.h"
#include "model/reading/registry.h"
#include "model/reading/tensor_builder.h"

namespace headroom::model::reading {
namespace {

absl::StatusOr<ModelSpec> Read(const FamilyInput& input) {
  ModelSpec spec;
  spec.family = "GLM-4.5";
  FieldReader config(input.config, "", spec.assumed);
  DecoderDefaults defaults;
  defaults.hidden_size = 4096;
  defaults.intermediate_size = 10944;
  defaults.layers = 46;
  defaults.heads = 96;
  defaults.kv_heads = 8;
  defaults.head_dim = 128;
  defaults.vocab_size = 151552;
  defaults.positions = 131072;
  defaults.rms_norm_eps = 1e-5;
  spec.llm = ReadDecoder(config, config, defaults);
  if (spec.llm.rope.part == 1) spec.llm.rope.part = kGlmRotaryPart;
  spec.llm.qkv_bias = config.BoolOr("attention_bias", false);
  if (config.BoolOr("use_qk_norm", false)) spec.llm.head_norm = HeadNorm::kBeforeRotation;
  spec.llm.experts = ReadExperts(config, spec.llm.layers,
                                 {.first = 1, .every = 1, .experts = 128, .per_token = 8, .shared = 1, .mlp = 1408});
  if (config.Has("num_nextn_predict_layers") && config.Int("num_nextn_predict_layers", 0, kLayersMax) > 0) {
    config.Note("num_nextn_predict_layers", "layers for speculation were not counted");
  }
  const Quantization quantization = Quantization::Read(config, config);
  HEADROOM_RETURN_IF_ERROR(config.status());
  AddDecoder({}, quantization, spec);
  return spec;
}

}  // namespace

extern const Family kGlm4Moe{{"Glm4MoeForCausalLM"}, Read};

}  // namespace headroom::model::reading
