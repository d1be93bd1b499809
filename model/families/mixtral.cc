// Mixtral: Mistral with experts in every layer.
#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "model/reading/decoder_fields.h"
#include "model/reading/limits.h"
#include "model/reading/registry.h"
#include "model/reading/tensor_builder.h"

namespace headroom::model::reading {
namespace {

absl::StatusOr<ModelSpec> Read(const FamilyInput& input) {
  ModelSpec spec;
  spec.family = "Mixtral";
  FieldReader config(input.config, "", spec.assumed);
  DecoderDefaults defaults;
  defaults.hidden_size = 4096;
  defaults.intermediate_size = 14336;
  defaults.layers = 32;
  defaults.heads = 32;
  defaults.kv_heads = 8;
  defaults.vocab_size = 32000;
  defaults.positions = 131072;
  defaults.rms_norm_eps = 1e-5;
  spec.llm = ReadDecoder(config, config, defaults);
  Experts moe;
  moe.experts = config.IntOr("num_local_experts", 1, kExpertsMax, 8);
  moe.per_token = config.IntOr("num_experts_per_tok", 1, kExpertsMax, 2);
  moe.mlp = spec.llm.intermediate_size;
  if (moe.per_token > moe.experts) {
    config.Fail("num_experts_per_tok", absl::StrCat(moe.per_token, " is above num_local_experts ", moe.experts));
  }
  spec.llm.experts = moe;
  const Quantization quantization = Quantization::Read(config, config);
  HEADROOM_RETURN_IF_ERROR(config.status());
  DecoderNames names;
  names.experts = {.module = "block_sparse_moe.", .gate = "w1", .up = "w3", .down = "w2", .correction_bias = false};
  AddDecoder(names, quantization, spec);
  return spec;
}

}  // namespace

extern const Family kMixtral{{"MixtralForCausalLM"}, Read};

}  // namespace headroom::model::reading
