// Phi-3 and Phi-4 (mini): queries, keys and values in one matrix, gate and up in another; some turn part of a head.
#include "common/status.h"
#include "model/reading/decoder_fields.h"
#include "model/reading/registry.h"
#include "model/reading/tensor_builder.h"

namespace headroom::model::reading {
namespace {

absl::StatusOr<ModelSpec> Read(const FamilyInput& input) {
  ModelSpec spec;
  spec.family = "Phi-3";
  FieldReader config(input.config, "", spec.assumed);
  DecoderDefaults defaults;
  defaults.hidden_size = 3072;
  defaults.intermediate_size = 8192;
  defaults.layers = 32;
  defaults.heads = 32;
  defaults.vocab_size = 32064;
  defaults.positions = 4096;
  defaults.rms_norm_eps = 1e-5;
  spec.llm = ReadDecoder(config, config, defaults);
  const Quantization quantization = Quantization::Read(config, config);
  HEADROOM_RETURN_IF_ERROR(config.status());
  DecoderNames names;
  names.fused_qkv = names.fused_gate_up = true;
  AddDecoder(names, quantization, spec);
  return spec;
}

}  // namespace

extern const Family kPhi3{{"Phi3ForCausalLM"}, Read};

}  // namespace headroom::model::reading
