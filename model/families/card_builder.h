// The matrices that families have in common, added to a model card. Names are those of model/weights.h with `*` for the
// layer; matrices are in the compute type or quantized as the config says, vectors (norms, biases) in fp32.
#pragma once

#include <cstdint>
#include <string>

#include "model/card.h"
#include "model/families/field_reader.h"
#include "model/families/quantization.h"

namespace headroom::model::families {

// A decoder with grouped-query attention.
struct TextShape {
  int64_t hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0;
  int64_t mlp = 0;  // of a dense layer; 0 when no layer is
  int64_t vocab = 0, positions = 0;
  bool tied = false;
  bool qkv_bias = false, output_bias = false, mlp_bias = false;
  bool qk_norm = false;         // one vector of head_dim each for q and k
  int64_t norms_per_layer = 2;  // 4 where attention and MLP have one behind them as well
};

// Routed and shared experts, in the layers that have them; `layers` 0: a dense model.
struct ExpertShape {
  int64_t layers = 0, experts = 0, per_token = 0, shared = 0, mlp = 0;
};

class CardBuilder {
 public:
  CardBuilder(ModelCard& card, const SiteFormats& formats) : card_(card), formats_(formats) {}

  void Vector(WeightPart part, const std::string& name, int64_t count, int64_t cols);
  void Matrix(WeightPart part, const std::string& name, int64_t count, int64_t rows, int64_t cols);
  // Matrix with a bias.
  void Affine(WeightPart part, const std::string& name, int64_t count, int64_t rows, int64_t cols);
  // A product of the decoder's layers.
  void Linear(Site site, const std::string& name, int64_t count, int64_t rows, int64_t cols, TensorSplit split,
              int64_t kv_rows = 0);

  // Table, last norm, head (unless tied) and the rotary frequencies of rotary_dim elements.
  void Embeddings(int64_t vocab, int64_t hidden, bool tied, int64_t rotary_dim);
  // Attention and norms of all layers.
  void GroupedAttention(const TextShape& text);
  // `name` is "" (dense) or a prefix of the two matrices.
  void GatedMlp(Site site, const std::string& name, int64_t count, int64_t hidden, int64_t mlp, bool bias = false);
  // Router with its correction bias, routed and shared experts.
  void Experts(int64_t hidden, const ExpertShape& moe);

 private:
  CardTensor& Add(WeightPart part, const std::string& name, int64_t count, int64_t rows, int64_t cols);

  ModelCard& card_;
  SiteFormats formats_;
};

// Sets kv, decoder and max_position_embeddings.
void SetTextShapes(const TextShape& text, const ExpertShape& moe, ModelCard& card);
// All of a dense decoder: its matrices, and SetTextShapes.
void AddDenseDecoder(const TextShape& text, int64_t rotary_dim, CardBuilder& builder, ModelCard& card);
// The part of a step's buffers that MLPs and experts need.
void SetMlpShapes(int64_t dense_mlp, const ExpertShape& moe, DecoderShape& decoder);

// Reads first_k_dense_replace, moe_layer_freq and the expert fields, and checks them against one another. `defaults`
// are the class's; `dense_default` of first_k_dense_replace.
ExpertShape ReadExperts(FieldReader& text, int64_t layers, const ExpertShape& defaults, int64_t dense_default);
// Layers by site, for ReadQuantization.
SiteLayers LayersOfSites(int64_t layers, const ExpertShape& moe);

// tie_word_embeddings of config.json, else of its text object, else the class default.
bool ReadTied(FieldReader& config, FieldReader& text, bool class_default);
// num_key_value_heads must divide num_attention_heads; absent, it is the class default, or as many when that is 0.
// head_dim: absent, it is hidden / heads; where that is no whole even number, the class's usual one unless that is 0.
void ReadHeads(FieldReader& text, TextShape& shape, int64_t kv_heads_default = 0, int64_t head_dim_usual = 0);

}  // namespace headroom::model::families
