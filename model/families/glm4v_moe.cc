// GLM-4.5V and GLM-4.6V: the encoder of GLM-4.1V before a decoder with experts.
#include "common/status.h"
#include "model/reading/decoder_fields.h"
#include "model/reading/glm_vision.h"
#include "model/reading/registry.h"
#include "model/reading/tensor_builder.h"

namespace headroom::model::reading {
namespace {

absl::StatusOr<ModelSpec> Read(const FamilyInput& input) {
  ModelSpec spec;
  spec.family = "GLM-4.5V / GLM-4.6V";
  FieldReader config(input.config, "", spec.assumed);
  FieldReader text = GlmTextFields(config);
  DecoderDefaults defaults;
  defaults.hidden_size = 4096;
  defaults.intermediate_size = 10944;
  defaults.layers = 46;
  defaults.heads = 96;
  defaults.kv_heads = 8;
  defaults.head_dim = 128;
  defaults.vocab_size = 151424;
  defaults.positions = 65536;
  defaults.rms_norm_eps = 1e-5;
  spec.llm = ReadDecoder(config, text, defaults);
  if (!text.Has("partial_rotary_factor") && spec.llm.rope.part == 1) spec.llm.rope.part = kGlmRotaryPart;
  spec.llm.qkv_bias = text.BoolOr("attention_bias", true);
  spec.llm.experts = ReadExperts(text, spec.llm.layers,
                                 {.first = 1, .every = 1, .experts = 128, .per_token = 8, .shared = 1, .mlp = 1408});
  const Quantization quantization = Quantization::Read(config, text);
  config.Adopt(text.status());

  AddGlmVision(input, config, spec);
  HEADROOM_RETURN_IF_ERROR(config.status());
  DecoderNames names;
  names.model = "model.language_model.";
  AddDecoder(names, quantization, spec);
  return spec;
}

}  // namespace

extern const Family kGlm4vMoe{{"Glm4vMoeForConditionalGeneration"}, Read};

}  // namespace headroom::model::reading
