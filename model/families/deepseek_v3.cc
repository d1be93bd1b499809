// DeepSeek-V3 and Kimi-K2: attention through latent vectors (MLA), a few dense layers, then experts.
#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "model/reading/decoder_fields.h"
#include "model/reading/limits.h"
#include "model/reading/registry.h"
#include "model/reading/tensor_builder.h"

namespace headroom::model::reading {
namespace {

constexpr int64_t kRankMax = 1 << 16;

LatentAttention ReadAttention(FieldReader& config) {
  LatentAttention mla;
  // Null is a value here, and not the same as absent.
  if (!config.fields().IsNull("q_lora_rank")) mla.q_rank = config.IntOr("q_lora_rank", 1, kRankMax, 1536);
  mla.kv_rank = config.IntOr("kv_lora_rank", 1, kRankMax, 512);
  mla.nope = config.IntOr("qk_nope_head_dim", 1, kHeadDimMax, 128);
  mla.rope = config.IntOr("qk_rope_head_dim", 2, kHeadDimMax, 64);
  mla.value = config.IntOr("v_head_dim", 1, kHeadDimMax, 128);
  if (mla.rope % 2 != 0) config.Fail("qk_rope_head_dim", absl::StrCat(mla.rope, " must be even"));
  return mla;
}

absl::StatusOr<ModelSpec> Read(const FamilyInput& input) {
  ModelSpec spec;
  FieldReader config(input.config, "", spec.assumed);
  spec.family = config.String("model_type", "") == "kimi_k2" ? "Kimi-K2" : "DeepSeek-V3";
  const LatentAttention latent = ReadAttention(config);
  DecoderDefaults defaults;
  defaults.rope_dim = latent.rope;
  defaults.positions = 4096;
  spec.llm = ReadDecoder(config, config, defaults);
  spec.llm.latent = latent;
  spec.llm.qkv_bias = spec.llm.output_bias = config.BoolOr("attention_bias", false);
  spec.llm.experts = ReadExperts(config, spec.llm.layers,
                                 {.first = 3, .every = 1, .experts = 256, .per_token = 8, .shared = 1, .mlp = 2048});
  if (config.Has("num_nextn_predict_layers") && config.Int("num_nextn_predict_layers", 0, kLayersMax) > 0) {
    config.Note("num_nextn_predict_layers", "layers for speculation were not counted");
  }
  const Quantization quantization = Quantization::Read(config, config);
  HEADROOM_RETURN_IF_ERROR(config.status());
  AddDecoder({}, quantization, spec);
  return spec;
}

}  // namespace

extern const Family kDeepseekV3{{"DeepseekV3ForCausalLM"}, Read};

}  // namespace headroom::model::reading
