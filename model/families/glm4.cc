// GLM-4-0414 (9B, 32B) and Z1: the decoder of GLM-4.1V as a text model.
#include "common/status.h"
#include "model/reading/decoder_fields.h"
#include "model/reading/glm_vision.h"
#include "model/reading/registry.h"
#include "model/reading/tensor_builder.h"

namespace headroom::model::reading {
namespace {

absl::StatusOr<ModelSpec> Read(const FamilyInput& input) {
  ModelSpec spec;
  spec.family = "GLM-4";
  FieldReader config(input.config, "", spec.assumed);
  DecoderDefaults defaults;
  defaults.hidden_size = 4096;
  defaults.intermediate_size = 13696;
  defaults.layers = 40;
  defaults.heads = 32;
  defaults.kv_heads = 2;
  defaults.head_dim = 128;
  defaults.vocab_size = 151552;
  defaults.positions = 131072;
  defaults.rms_norm_eps = 1.5625e-7;
  spec.llm = ReadDecoder(config, config, defaults);
  spec.llm.rope.neighbours = true;
  if (spec.llm.rope.part == 1) spec.llm.rope.part = kGlmRotaryPart;
  spec.llm.qkv_bias = config.BoolOr("attention_bias", true);
  spec.llm.sandwich_norms = true;
  const Quantization quantization = Quantization::Read(config, config);
  HEADROOM_RETURN_IF_ERROR(config.status());
  DecoderNames names;
  names.fused_gate_up = true;
  AddDecoder(names, quantization, spec);
  return spec;
}

}  // namespace

extern const Family kGlm4{{"Glm4ForCausalLM"}, Read};

}  // namespace headroom::model::reading
