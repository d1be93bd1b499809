// Llama and its kin as text models: Llama, Mistral, Qwen2, Qwen3.
#include "common/status.h"
#include "model/reading/decoder_fields.h"
#include "model/reading/registry.h"
#include "model/reading/tensor_builder.h"

namespace headroom::model::reading {
namespace {

// The classes' own values, where they differ from Llama's.
DecoderDefaults DefaultsOf(const std::string& architecture) {
  DecoderDefaults defaults;
  if (architecture == "Qwen2ForCausalLM") defaults.positions = 32768;
  if (architecture == "Qwen3ForCausalLM") {
    defaults.positions = 32768;
    defaults.head_dim = 128;
    defaults.head_dim_fixed = true;
  }
  if (architecture == "MistralForCausalLM") {
    defaults.positions = 131072;
    defaults.kv_heads = 8;
  }
  return defaults;
}

absl::StatusOr<ModelSpec> Read(const FamilyInput& input) {
  ModelSpec spec;
  FieldReader config(input.config, "", spec.assumed);
  const bool qwen2 = input.architecture == "Qwen2ForCausalLM", qwen3 = input.architecture == "Qwen3ForCausalLM";
  const bool mistral = input.architecture == "MistralForCausalLM";
  spec.family = qwen2 ? "Qwen2" : qwen3 ? "Qwen3" : mistral ? "Mistral" : "Llama";
  spec.llm = ReadDecoder(config, config, DefaultsOf(input.architecture));
  if (qwen3) spec.llm.head_norm = HeadNorm::kBeforeRotation;
  spec.llm.qkv_bias = qwen2 || (!mistral && config.BoolOr("attention_bias", false));
  spec.llm.output_bias = !qwen2 && spec.llm.qkv_bias;
  const Quantization quantization = Quantization::Read(config, config);
  HEADROOM_RETURN_IF_ERROR(config.status());
  AddDecoder({}, quantization, spec);
  return spec;
}

}  // namespace

extern const Family kLlamaLike{{"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"},
                               Read};

}  // namespace headroom::model::reading
