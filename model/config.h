// A model directory in the Hugging Face layout, as numbers: config.json, and preprocessor_config.json and
// generation_config.json where they exist. Every field is checked for type, range and consistency before it is stored
// here, so the rest of the program may multiply these numbers without looking again (each is at most 2^31; a product of
// two fits int64).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/image/pieces.h"
#include "model/image_markers.h"
#include "model/rope.h"

namespace headroom::model {

enum class Architecture { kMiniCpmV26, kQwen2, kLlama };

const char* ArchitectureName(Architecture architecture);

// A Llama-like decoder: RMSNorm, grouped-query attention with half-split rotary positions, SiLU-gated MLP.
struct DecoderConfig {
  int64_t hidden_size = 0;        // E
  int64_t intermediate_size = 0;  // I
  int64_t layers = 0;
  int64_t heads = 0;     // H
  int64_t kv_heads = 0;  // divides heads; query head j reads key head j / (heads / kv_heads)
  int64_t head_dim = 0;  // even; heads * head_dim need not equal hidden_size
  double rms_norm_eps = 1e-6;
  Rope rope = {};
  int64_t max_position_embeddings = 0;  // or more, where rope's scaling was made for more
  int64_t vocab_size = 0;
  bool tie_word_embeddings = false;  // the head is the embedding table
  bool qkv_bias = false;
  bool output_bias = false;            // bias on o_proj: Llama with attention_bias has it, Qwen2 never
  std::vector<int64_t> eos_token_ids;  // of config.json and generation_config.json, without repeats; may be empty
};

// SigLIP tower without pooling head. The post layer norm always applies.
struct VisionConfig {
  int64_t hidden_size = 0;  // D
  int64_t intermediate_size = 0;
  int64_t layers = 0;  // layers that run: num_hidden_layers, less one when drop_vision_last_layer is true
  int64_t heads = 0;
  int64_t patch_size = 0;
  int64_t image_size = 0;     // pixels a side of the learned position table
  int64_t position_side = 0;  // rows (and columns) of that table: image_size / patch_size
  int64_t channels = 3;
  double layer_norm_eps = 1e-6;

  int64_t head_dim() const { return hidden_size / heads; }
  int64_t patch_values() const { return channels * patch_size * patch_size; }
};

// One cross-attention layer, query_num learned queries, width = llm.hidden_size, heads of 128 (wider where that
// does not divide it).
struct ResamplerConfig {
  int64_t query_num = 64;
  int64_t heads = 0;
  double layer_norm_eps = 1e-6;
};

// Sampling values of generation_config.json; absent there, or of no use (a line of the log says so) = absent here.
// `do_sample: false` there gives temperature 0.
struct GenerationDefaults {
  std::optional<double> temperature;  // 0 to 100
  std::optional<double> top_p;        // (0, 1]
  std::optional<int64_t> top_k;       // 0 = off, as -1 in the file
  std::optional<double> repetition_penalty;
};

struct ModelConfig {
  Architecture architecture = Architecture::kLlama;
  DecoderConfig llm;
  std::optional<VisionConfig> vision;  // set for kMiniCpmV26; the fields below it have meaning only then
  ResamplerConfig resampler;
  SliceConfig slice;
  bool use_image_id = true;
  std::array<double, 3> norm_mean = {0.5, 0.5, 0.5};
  std::array<double, 3> norm_std = {0.5, 0.5, 0.5};
  ImageMarkers markers;
  GenerationDefaults generation;
};

// INVALID_ARGUMENT names file, field, value and limit. What would change the arithmetic and is not built (a
// sliding window in use, another activation, quantization, …) is an error "not supported: …", never skipped. Other
// unknown keys are of no effect.
absl::StatusOr<ModelConfig> LoadModelConfig(const std::string& directory);

// The same from text; the optional files as empty strings when they do not exist.
struct ConfigTexts {
  std::string config, preprocessor, generation;
};
absl::StatusOr<ModelConfig> ParseModelConfig(const ConfigTexts& texts);

}  // namespace headroom::model
