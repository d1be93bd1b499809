// Qwen3 with experts: Qwen3-30B-A3B, Qwen3-235B-A22B.
#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "model/reading/decoder_fields.h"
#include "model/reading/limits.h"
#include "model/reading/registry.h"
#include "model/reading/tensor_builder.h"

namespace headroom::model::reading {
namespace {

// In every layer: which others there may be, no published file says.
Experts ReadQwenExperts(FieldReader& config) {
  Experts moe;
  const char* const count =
      config.Has("num_local_experts") ? "num_local_experts" : "num_experts";  // newer files, older
  moe.experts = config.IntOr(count, 1, kExpertsMax, 128);
  moe.per_token = config.IntOr("num_experts_per_tok", 1, kExpertsMax, 8);
  moe.mlp = config.IntOr("moe_intermediate_size", 1, kWidthMax, 768);
  if (moe.per_token > moe.experts) {
    config.Fail("num_experts_per_tok", absl::StrCat(moe.per_token, " is above ", count, " ", moe.experts));
  }
  if (config.Has("decoder_sparse_step") && config.Int("decoder_sparse_step", 0, kLayersMax) != 1) {
    config.Fail("decoder_sparse_step", absl::StrCat("not supported: ", config.fields().Print("decoder_sparse_step"),
                                                    " (only 1: experts in every layer)"));
  }
  if (config.Has("mlp_only_layers") && !config.Ints("mlp_only_layers", 0, kLayersMax, kLayersMax).empty()) {
    config.Fail("mlp_only_layers", "not supported: layers without experts (only [])");
  }
  return moe;
}

absl::StatusOr<ModelSpec> Read(const FamilyInput& input) {
  ModelSpec spec;
  spec.family = "Qwen3-MoE";
  FieldReader config(input.config, "", spec.assumed);
  DecoderDefaults defaults;
  defaults.hidden_size = 2048;
  defaults.intermediate_size = 6144;
  defaults.layers = 24;
  defaults.heads = 32;
  defaults.kv_heads = 4;
  defaults.vocab_size = 151936;
  defaults.positions = 32768;
  spec.llm = ReadDecoder(config, config, defaults);
  spec.llm.head_norm = HeadNorm::kBeforeRotation;
  spec.llm.qkv_bias = spec.llm.output_bias = config.BoolOr("attention_bias", false);
  spec.llm.experts = ReadQwenExperts(config);
  const Quantization quantization = Quantization::Read(config, config);
  HEADROOM_RETURN_IF_ERROR(config.status());
  DecoderNames names;
  names.experts.correction_bias = false;
  AddDecoder(names, quantization, spec);
  return spec;
}

}  // namespace

extern const Family kQwen3Moe{{"Qwen3MoeForCausalLM"}, Read};

}  // namespace headroom::model::reading
