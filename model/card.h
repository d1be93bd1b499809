// A model card: what a memory plan must know of a model. Matrices with their shapes and stored format, the KV cache of
// a token, the widths of a step's buffers. Every family that Headroom knows has one; those that the engine serves build
// theirs from ModelConfig, so card and worker cannot disagree; the others are plan only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/dtype.h"
#include "model/config.h"
#include "model/weights.h"

namespace headroom::model {

// How a matrix lies in device memory. Scales take 16 bits; "symmetric" means that there are no zero points.
struct WeightFormat {
  enum class Kind : uint8_t {
    kCompute,  // the compute type of the request (bf16, fp32)
    kF32,      // fp32 whatever the compute type
    kFp8,      // 8 bits an element, one scale a row
    kInt8,     // 8 bits an element, one scale a row, symmetric
    kInt4,     // 4 bits an element, one scale for each `group` elements of a row, symmetric
  };
  Kind kind = Kind::kCompute;
  int64_t group = 0;  // kInt4 only

  friend bool operator==(const WeightFormat&, const WeightFormat&) = default;
};

// "bf16", "int4 in groups of 32"; `compute` is what kCompute stands for.
std::string WeightFormatName(const WeightFormat& format, DType compute);

// Bytes of a matrix of rows × cols. Sizes are those of a card: at most 2^26 each.
int64_t MatrixBytes(const WeightFormat& format, int64_t rows, int64_t cols, DType compute);

// Which part of a matrix one of N tensor-parallel ranks holds.
enum class TensorSplit : uint8_t {
  kWhole,    // every rank holds all of it
  kRows,     // output features / N (of which kv_rows belong to KV heads: they stop splitting at one head a rank)
  kCols,     // input features / N
  kExperts,  // count / N
};

// `count` equal matrices (a vector is one row), usually one a layer or one an expert.
struct CardTensor {
  std::string name;  // for people, e.g. "layers.*.qkv.weight"
  WeightPart part = WeightPart::kLlm;
  int64_t count = 1;
  int64_t rows = 0, cols = 0;
  WeightFormat format = {};
  bool linear = false;  // a matrix product of the decoder: what weight quantization applies to
  TensorSplit split = TensorSplit::kWhole;
  int64_t kv_rows = 0;        // with kRows
  bool in_checkpoint = true;  // false: computed at load, no parameter
};

// The cache of one token and layer: `vectors` rows of heads × head_dim elements (2: K and V. 1: a latent vector that
// all heads read, which ranks cannot split).
struct KvShape {
  int64_t layers = 0;
  int64_t vectors = 2;
  int64_t heads = 0;
  int64_t head_dim = 0;
};

// Elements a token, of the buffers of a decoder step (memory/step_layout.h says which live at the same time).
struct DecoderShape {
  int64_t hidden = 0;
  int64_t attention_in = 0;   // q, k, v and what else the attention reads (MLA: latents, absorbed queries)
  int64_t attention_out = 0;  // input of the output product
  int64_t mlp_in = 0;         // gate and up; with experts: of all that one token visits, and the shared one
  int64_t mlp_out = 0;        // input of down; the same
  int64_t routed = 0;         // experts: hidden × experts a token, permuted inputs and outputs; 0 when dense
  int64_t router = 0;         // experts: scores a token; 0 when dense
  int64_t vocab = 0;
  int64_t heads = 0;  // of queries: what tensor parallelism divides
};

// Elements a patch (or a frame, for audio) of an encoder step.
struct EncoderShape {
  int64_t patch_values = 0;  // input of the patch embedding
  int64_t width = 0;
  int64_t mlp_in = 0;   // output of fc1 (gated: gate and up)
  int64_t mlp_out = 0;  // input of fc2
  int64_t out = 0;      // hidden size of the decoder
  // What joins patches into tokens: query_num queries a piece (resampler), or merge patches a token (merger).
  int64_t query_num = 0;        // resampler only
  int64_t merge = 0;            // merger only: patches a token
  int64_t merger_hidden = 0;    // merger only: elements a token between its products
  int64_t usual_patches = 0;    // of a piece (resampler) or of an ordinary picture (merger)
  int64_t largest_patches = 0;  // of the largest input that the preprocessor lets pass
  int64_t pieces_max = 1;       // of one picture
};

struct ModelCard {
  std::string family;        // for people, "MiniCPM-V 2.6"
  std::string architecture;  // as config.json names it
  std::vector<CardTensor> tensors;
  KvShape kv;
  DecoderShape decoder;
  std::optional<EncoderShape> encoder;
  int64_t max_position_embeddings = 0;
  // What the files did not say and which value was taken; printed with every plan.
  std::vector<std::string> assumed;
  // Set when the engine serves the model; otherwise it is plan only, and not_served says why.
  std::optional<ModelConfig> served;
  std::string not_served;
};

// Sizes were checked by ModelConfig.
ModelCard CardOf(const ModelConfig& config);

// `path`: a model directory or a config.json. Served families first, then all others. INVALID_ARGUMENT names file,
// field, value and limit, or lists the architectures that are known.
absl::StatusOr<ModelCard> LoadModelCard(const std::string& path);

// Elements of what the checkpoint holds, in total or of one part; scales of quantized formats are not parameters.
int64_t ParameterCount(const ModelCard& card);
int64_t ParameterCount(const ModelCard& card, WeightPart part);

}  // namespace headroom::model
