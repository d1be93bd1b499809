// A model directory in the Hugging Face layout as one description: what a plan, the weights, the engine, the price of a
// picture and the prompt must know. Every family is one file (model/families) that reads config.json, and
// preprocessor_config.json and generation_config.json where they exist, into it. Every field is checked for type, range
// and consistency before it is stored here, so the rest of the program may multiply these numbers without looking
// again.
//
// What is read can be planned. Whether the engine runs it, and if not why, is what WhyNotServed() answers.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/decoder_spec.h"
#include "model/image/picture_rule.h"
#include "model/image_markers.h"
#include "model/tensor_spec.h"

namespace headroom::model {

// SigLIP tower without pooling head (MiniCPM-V). The post layer norm always applies.
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
  std::string activation = "gelu_pytorch_tanh";

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

// Blocks over all patches of a picture, then a merger that joins merge × merge of them to a row for the decoder.
struct MergingTower {
  // How the position table is brought to a picture's grid.
  enum class Table { kBicubic, kBilinear, kOther };
  enum class Merger {
    kGated,  // convolution, gated MLP (GLM-4.1V)
    kLines,  // two convolutions, a product; rows of its own behind each line and around all (HunyuanOCR)
  };
  int64_t hidden_size = 0;  // D
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t mlp = 0;  // F, of the blocks
  int64_t channels = 3;
  int64_t position_side = 0;   // rows (and columns) of the position table
  int64_t position_first = 0;  // rows before them, which nobody reads
  int64_t out = 0;             // E
  int64_t merger_mlp = 0;      // M, of kGated
  bool qkv_bias = false;
  double norm_eps = 1e-5;
  double merger_norm_eps = 1e-5;  // of kGated's layer norm; config.json does not say
  double theta = 10000;
  Table table = Table::kBicubic;
  Merger merger = Merger::kGated;
  // GLM-4.1V's blocks: RMS norms, silu(gate) · up, queries and keys that turn by row and column, a norm behind the
  // patch embedding and one behind the last block. Else HunyuanOCR's: layer norms, exact GELU, biases of all products.
  bool gated = true;
  std::string activation = "silu";

  int64_t head_dim() const { return hidden_size / heads; }
};

// Elements a patch (or a frame, for audio) of an encoder step.
struct EncoderShape {
  int64_t patch_values = 0;  // input of the patch embedding
  int64_t width = 0;
  int64_t mlp_in = 0;   // output of fc1 (gated: gate and up)
  int64_t mlp_out = 0;  // input of fc2
  int64_t out = 0;      // hidden size of the decoder
  // What joins patches into tokens: query_num queries a piece (resampler), or merge patches a token (merger).
  int64_t query_num = 0;         // resampler only
  int64_t merge = 0;             // merger only: patches a token
  int64_t merger_hidden = 0;     // merger only: elements a token between its products
  int64_t merger_in = 0;         // merger only: input of its products behind the convolution; 0: there is none
  int64_t merger_out = 0;        // merger only: input of its last product; 0: merger_hidden
  int64_t line_rows = 0;         // merger only: rows that it adds behind each line of tokens
  int64_t end_rows = 0;          // merger only: and around the tokens of a picture
  int64_t position_taps = 1;     // rows of the position table that a patch's position is made of
  int64_t rotary_axes = 0;       // numbers of a patch's rotary position; 0: it has none
  int64_t smallest_patches = 0;  // of a piece or picture, about; 0: half of the usual
  int64_t usual_patches = 0;     // of a piece (resampler) or of an ordinary picture (merger)
  int64_t largest_patches = 0;   // of the largest input that the preprocessor lets pass
  int64_t usual_rows = 0;        // that come of such a piece or picture
  int64_t largest_rows = 0;      // of the largest
  int64_t pieces_max = 1;        // of one picture
};

// Sampling values of generation_config.json; absent there, or of no use (a line of the log says so) = absent here.
// `do_sample: false` there gives temperature 0.
struct GenerationDefaults {
  std::optional<double> temperature;  // 0 to 100
  std::optional<double> top_p;        // (0, 1]
  std::optional<int64_t> top_k;       // 0 = off, as -1 in the file
  std::optional<double> repetition_penalty;
};

struct ModelSpec {
  std::string family;        // for people, "MiniCPM-V 2.6"
  std::string architecture;  // as config.json names it
  DecoderSpec llm;
  std::optional<EncoderShape> encoder;
  std::vector<TensorSpec> tensors;  // in the order of execution
  // Set for MiniCPM-V 2.6; the fields below it have meaning only then.
  std::optional<VisionConfig> vision;
  ResamplerConfig resampler;
  SliceConfig slice;
  bool use_image_id = true;
  std::array<double, 3> norm_mean = {0.5, 0.5, 0.5};
  std::array<double, 3> norm_std = {0.5, 0.5, 0.5};
  ImageMarkers markers;
  // Set for GLM-4.1V and HunyuanOCR, with resize, norm_mean, norm_std and image_token_id.
  std::optional<MergingTower> merging;
  GridResize resize;
  int64_t image_token_id = 0;  // that the chat template writes for a picture, and that stands for each of its rows
  GenerationDefaults generation;
  // What the files did not say and which value was taken; printed with every plan.
  std::vector<std::string> assumed;

  // It has a tower for pictures.
  bool Sees() const { return vision.has_value() || merging.has_value(); }
  // Of a model that sees.
  PictureRule Pictures() const { return merging ? PictureRule(resize) : PictureRule(slice); }
};

// INVALID_ARGUMENT names file, field, value and limit, or lists the architectures that are known. `path`: a model
// directory, or a config.json, which stands for itself under any other name.
absl::StatusOr<ModelSpec> LoadModelSpec(const std::string& path);

// The same from text; the optional files as empty strings when they do not exist.
struct ConfigTexts {
  std::string config, preprocessor, generation;
};
absl::StatusOr<ModelSpec> ParseModelSpec(const ConfigTexts& texts);

// A model directory that the engine runs; INVALID_ARGUMENT with the reasons of WhyNotServed() otherwise.
absl::StatusOr<ModelSpec> LoadServedModel(const std::string& directory);

// What the engine lacks for this model, "config.json: FIELD: not supported: VALUE (only …)" each: what would change the
// arithmetic and is not built (a sliding window in use, another activation, quantized weights, …). Empty: it is served.
std::vector<std::string> WhyNotServed(const ModelSpec& spec);

}  // namespace headroom::model
