#include "model/families/card_builder.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "model/families/limits.h"

namespace headroom::model::families {

CardTensor& CardBuilder::Add(WeightPart part, const std::string& name, int64_t count, int64_t rows, int64_t cols) {
  CardTensor tensor;
  tensor.name = name;
  tensor.part = part;
  tensor.count = count;
  tensor.rows = rows;
  tensor.cols = cols;
  card_.tensors.push_back(std::move(tensor));
  return card_.tensors.back();
}

void CardBuilder::Vector(WeightPart part, const std::string& name, int64_t count, int64_t cols) {
  if (count > 0) Add(part, name, count, 1, cols).format.kind = WeightFormat::Kind::kF32;
}

void CardBuilder::Matrix(WeightPart part, const std::string& name, int64_t count, int64_t rows, int64_t cols) {
  if (count > 0) Add(part, name, count, rows, cols);
}

void CardBuilder::Affine(WeightPart part, const std::string& name, int64_t count, int64_t rows, int64_t cols) {
  Matrix(part, name + ".weight", count, rows, cols);
  Vector(part, name + ".bias", count, rows);
}

void CardBuilder::Linear(Site site, const std::string& name, int64_t count, int64_t rows, int64_t cols,
                         TensorSplit split, int64_t kv_rows) {
  if (count == 0) return;
  CardTensor& tensor = Add(WeightPart::kLlm, name, count, rows, cols);
  tensor.format = formats_[static_cast<int>(site)];
  tensor.linear = true;
  tensor.split = split;
  tensor.kv_rows = kv_rows;
}

void CardBuilder::Embeddings(int64_t vocab, int64_t hidden, bool tied, int64_t rotary_dim) {
  Vector(WeightPart::kLlm, "llm.rope.inv_freq", 1, std::max<int64_t>(1, rotary_dim / 2));
  card_.tensors.back().in_checkpoint = false;
  Add(WeightPart::kLlm, "llm.embed_tokens.weight", 1, vocab, hidden).split = TensorSplit::kRows;
  Vector(WeightPart::kLlm, "llm.norm.weight", 1, hidden);
  if (!tied) Add(WeightPart::kHead, "llm.head.weight", 1, vocab, hidden).split = TensorSplit::kRows;
}

void CardBuilder::GroupedAttention(const TextShape& text) {
  const int64_t q_rows = text.heads * text.head_dim, kv_rows = 2 * text.kv_heads * text.head_dim;
  const WeightPart part = WeightPart::kLlm;
  Vector(part, "llm.layers.*.norms.weight", text.layers * text.norms_per_layer, text.hidden);
  Linear(Site::kAttention, "llm.layers.*.qkv.weight", text.layers, q_rows + kv_rows, text.hidden, TensorSplit::kRows,
         kv_rows);
  if (text.qkv_bias) Vector(part, "llm.layers.*.qkv.bias", text.layers, q_rows + kv_rows);
  if (text.qk_norm) Vector(part, "llm.layers.*.qk_norm.weight", text.layers * 2, text.head_dim);
  Linear(Site::kAttention, "llm.layers.*.o.weight", text.layers, text.hidden, q_rows, TensorSplit::kCols);
  if (text.output_bias) Vector(part, "llm.layers.*.o.bias", text.layers, text.hidden);
}

void CardBuilder::GatedMlp(Site site, const std::string& name, int64_t count, int64_t hidden, int64_t mlp, bool bias) {
  const std::string prefix = "llm.layers.*." + name;
  Linear(site, prefix + "gate_up.weight", count, 2 * mlp, hidden, TensorSplit::kRows);
  Linear(site, prefix + "down.weight", count, hidden, mlp, TensorSplit::kCols);
  if (!bias) return;
  Vector(WeightPart::kLlm, prefix + "gate_up.bias", count, 2 * mlp);
  Vector(WeightPart::kLlm, prefix + "down.bias", count, hidden);
}

void CardBuilder::Experts(int64_t hidden, const ExpertShape& moe) {
  if (moe.layers == 0) return;
  Matrix(WeightPart::kLlm, "llm.layers.*.router.weight", moe.layers, moe.experts, hidden);
  Vector(WeightPart::kLlm, "llm.layers.*.router.correction_bias", moe.layers, moe.experts);
  const int64_t count = moe.layers * moe.experts;
  Linear(Site::kExpert, "llm.layers.*.experts.*.gate_up.weight", count, 2 * moe.mlp, hidden, TensorSplit::kExperts);
  Linear(Site::kExpert, "llm.layers.*.experts.*.down.weight", count, hidden, moe.mlp, TensorSplit::kExperts);
  // All shared experts of a layer are one MLP of their joint width.
  if (moe.shared > 0) {
    GatedMlp(Site::kSharedExpert, "shared_expert.", moe.layers, hidden, moe.shared * moe.mlp);
  }
}

void SetMlpShapes(int64_t dense_mlp, const ExpertShape& moe, DecoderShape& decoder) {
  int64_t width = dense_mlp;
  if (moe.layers > 0) {
    width = std::max(width, (moe.per_token + moe.shared) * moe.mlp);
    decoder.routed = decoder.hidden * moe.per_token;
    decoder.router = moe.experts;
  }
  decoder.mlp_in = 2 * width;
  decoder.mlp_out = width;
}

void SetTextShapes(const TextShape& text, const ExpertShape& moe, ModelCard& card) {
  card.max_position_embeddings = text.positions;
  card.kv = {.layers = text.layers, .vectors = 2, .heads = text.kv_heads, .head_dim = text.head_dim};
  card.decoder.hidden = text.hidden;
  card.decoder.attention_in = (text.heads + 2 * text.kv_heads) * text.head_dim;
  card.decoder.attention_out = text.heads * text.head_dim;
  card.decoder.vocab = text.vocab;
  card.decoder.heads = text.heads;
  SetMlpShapes(text.mlp, moe, card.decoder);
}

void AddDenseDecoder(const TextShape& text, int64_t rotary_dim, CardBuilder& builder, ModelCard& card) {
  builder.Embeddings(text.vocab, text.hidden, text.tied, rotary_dim);
  builder.GroupedAttention(text);
  builder.GatedMlp(Site::kMlp, "", text.layers, text.hidden, text.mlp, text.mlp_bias);
  SetTextShapes(text, {}, card);
}

ExpertShape ReadExperts(FieldReader& text, int64_t layers, const ExpertShape& defaults, int64_t dense_default) {
  ExpertShape moe;
  moe.experts = text.IntOr("n_routed_experts", 1, kExpertsMax, defaults.experts);
  moe.per_token = text.IntOr("num_experts_per_tok", 1, kExpertsMax, defaults.per_token);
  moe.shared = text.IntOr("n_shared_experts", 0, 256, defaults.shared);
  moe.mlp = text.IntOr("moe_intermediate_size", 1, kWidthMax, defaults.mlp);
  const int64_t dense = text.IntOr("first_k_dense_replace", 0, kLayersMax, dense_default);
  const int64_t every = text.Has("moe_layer_freq") ? text.Int("moe_layer_freq", 1, kLayersMax) : 1;
  if (moe.per_token > moe.experts) {
    text.Fail("num_experts_per_tok", absl::StrCat(moe.per_token, " is above n_routed_experts ", moe.experts));
  }
  if (dense > layers) {
    text.Fail("first_k_dense_replace", absl::StrCat(dense, " is above num_hidden_layers ", layers));
  }
  for (int64_t layer = dense; layer < layers; ++layer) moe.layers += layer % every == 0 ? 1 : 0;
  return moe;
}

SiteLayers LayersOfSites(int64_t layers, const ExpertShape& moe) {
  return {layers, layers - moe.layers, moe.shared > 0 ? moe.layers : 0, moe.layers};
}

bool ReadTied(FieldReader& config, FieldReader& text, bool class_default) {
  const char* name = "tie_word_embeddings";
  return config.Has(name) || !text.Has(name) ? config.BoolOr(name, class_default) : text.BoolOr(name, class_default);
}

void ReadHeads(FieldReader& text, TextShape& shape, int64_t kv_heads_default, int64_t head_dim_usual) {
  const char* kv = "num_key_value_heads";
  shape.kv_heads = text.Has(kv) || kv_heads_default > 0
                       ? text.IntOr(kv, 1, kHeadsMax, kv_heads_default)
                       : text.IntElse(kv, 1, kHeadsMax, shape.heads, "as many as num_attention_heads");
  if (shape.heads % shape.kv_heads != 0) {
    text.Fail(kv, absl::StrCat(shape.kv_heads, " does not divide num_attention_heads ", shape.heads));
  }
  if (text.Has("head_dim")) {
    shape.head_dim = text.Int("head_dim", 2, kHeadDimMax);
    if (shape.head_dim % 2 != 0) text.Fail("head_dim", absl::StrCat(shape.head_dim, " must be even"));
    return;
  }
  shape.head_dim = shape.hidden / shape.heads;
  if (shape.hidden % shape.heads == 0 && shape.head_dim % 2 == 0 && shape.head_dim <= kHeadDimMax) return;
  shape.head_dim = 2;
  if (head_dim_usual > 0) {
    shape.head_dim = text.IntElse("head_dim", 2, kHeadDimMax, head_dim_usual, "as in models of this family");
    return;
  }
  text.Fail("hidden_size", absl::StrCat(shape.hidden, " does not give num_attention_heads ", shape.heads,
                                        " an even head_dim of at most ", kHeadDimMax, ", and head_dim is missing"));
}

}  // namespace headroom::model::families
