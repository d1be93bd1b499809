// Small configs of every plan-only family with every field that a plan reads, for tests.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/testing/paths.h"

namespace headroom::model::reading::testing {

// models/cards/NAME.
inline std::string CardPath(const std::string& name) { return SourceDir() + "/models/cards/" + name; }

inline const char* const kPreprocessor = R"({"size": {"longest_edge": 1000000}})";

inline const std::vector<std::string> kCompleteConfigs = {"DeepseekV3ForCausalLM",
                                                          "Glm4ForCausalLM",
                                                          "Glm4MoeForCausalLM",
                                                          "Glm4vForConditionalGeneration",
                                                          "Glm4vMoeForConditionalGeneration",
                                                          "GlmAsrForConditionalGeneration",
                                                          "HunYuanVLForConditionalGeneration",
                                                          "LlamaForCausalLM",
                                                          "MistralForCausalLM",
                                                          "MixtralForCausalLM",
                                                          "Phi3ForCausalLM",
                                                          "Qwen2ForCausalLM",
                                                          "Qwen3ForCausalLM",
                                                          "Qwen3MoeForCausalLM"};

inline nlohmann::json CompleteConfig(const std::string& architecture) {
  using nlohmann::json;
  const json text = json::parse(R"({"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 4,
      "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 1000,
      "max_position_embeddings": 4000, "tie_word_embeddings": false})");
  const json experts = json::parse(R"({"n_routed_experts": 8, "num_experts_per_tok": 2, "n_shared_experts": 1,
      "moe_intermediate_size": 64, "first_k_dense_replace": 1, "attention_bias": false})");
  json config = {{"architectures", {architecture}}, {"model_type", "test"}};
  if (architecture == "DeepseekV3ForCausalLM") {
    config.update(text);
    config.update(experts);
    config.update(json::parse(R"({"q_lora_rank": 48, "kv_lora_rank": 32, "qk_nope_head_dim": 16,
        "qk_rope_head_dim": 8, "v_head_dim": 24})"));
    config.erase("num_key_value_heads");
    config.erase("head_dim");
  } else if (architecture.rfind("Glm4v", 0) == 0) {
    config["text_config"] = text;
    config["image_token_id"] = 900;
    if (architecture == "Glm4vMoeForConditionalGeneration") config["text_config"].update(experts);
    config["vision_config"] = json::parse(R"({"hidden_size": 64, "depth": 3, "num_heads": 4, "intermediate_size": 200,
        "out_hidden_size": 128, "patch_size": 14, "temporal_patch_size": 2, "spatial_merge_size": 2, "in_channels": 3,
        "image_size": 56, "attention_bias": false})");
  } else if (architecture == "GlmAsrForConditionalGeneration") {
    config["text_config"] = text;
    config["audio_config"] = json::parse(R"({"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_mel_bins": 16, "max_position_embeddings": 100})");
  } else if (architecture == "HunYuanVLForConditionalGeneration") {
    config.update(text);
    config.update(json::parse(R"({"attention_bias": false, "use_qk_norm": true})"));
    config["vision_config"] = json::parse(R"({"hidden_size": 64, "intermediate_size": 200, "num_hidden_layers": 3,
        "num_attention_heads": 4, "patch_size": 16, "spatial_merge_size": 2, "num_channels": 3,
        "max_image_size": 256})");
    config["image_token_id"] = 900;
  } else {
    config.update(text);
    if (architecture == "Glm4MoeForCausalLM") {
      config.update(experts);
      config["use_qk_norm"] = true;
    } else if (architecture == "Qwen3MoeForCausalLM") {
      config.update(json::parse(R"({"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 64})"));
    } else if (architecture == "MixtralForCausalLM") {
      config.update(json::parse(R"({"num_local_experts": 8, "num_experts_per_tok": 2})"));
    }
    for (const char* biased : {"Glm4ForCausalLM", "LlamaForCausalLM", "Qwen3ForCausalLM", "Qwen3MoeForCausalLM"}) {
      if (architecture == biased) config["attention_bias"] = false;
    }
  }
  return config;
}

}  // namespace headroom::model::reading::testing
