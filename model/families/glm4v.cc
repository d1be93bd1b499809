// GLM-4.1V and GLM-4.6V-Flash, AutoGLM-Phone: a dense decoder in the manner of GLM-4-0414.
#include "common/status.h"
#include "model/families/decoder_fields.h"
#include "model/families/glm_vision.h"
#include "model/families/tensor_builder.h"

namespace headroom::model::families {

absl::StatusOr<ModelSpec> Glm4v(const FamilyInput& input) {
  ModelSpec spec;
  spec.family = "GLM-4.1V";
  FieldReader config(input.config, "", spec.assumed);
  FieldReader text = GlmTextFields(config);
  DecoderDefaults defaults;
  defaults.hidden_size = 4096;
  defaults.intermediate_size = 13696;
  defaults.layers = 40;
  defaults.heads = 32;
  defaults.kv_heads = 2;
  defaults.vocab_size = 151552;
  defaults.positions = 32768;
  spec.llm = ReadDecoder(config, text, defaults);
  if (!text.Has("partial_rotary_factor") && spec.llm.rope.part == 1) spec.llm.rope.part = kGlmRotaryPart;
  spec.llm.qkv_bias = true;
  spec.llm.sandwich_norms = true;
  const Quantization quantization = Quantization::Read(config, text);
  config.Adopt(text.status());

  AddGlmVision(input, config, spec);
  HEADROOM_RETURN_IF_ERROR(config.status());
  DecoderNames names;
  names.model = "model.language_model.";
  names.fused_gate_up = true;
  AddDecoder(names, quantization, spec);
  return spec;
}

}  // namespace headroom::model::families
