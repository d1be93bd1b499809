#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/reading/tensor_builder.h"

namespace headroom::model::reading {
namespace {

void AddGroupedAttention(const DecoderSpec& decoder, const DecoderNames& names, TensorBuilder& add) {
  const int64_t q = decoder.heads * decoder.head_dim, kv = decoder.kv_heads * decoder.head_dim;
  const auto sources = [&](const char* end) {
    return names.fused_qkv ? Sources{{absl::StrCat("self_attn.qkv_proj", end), q + 2 * kv}}
                           : Sources{{absl::StrCat("self_attn.q_proj", end), q},
                                     {absl::StrCat("self_attn.k_proj", end), kv},
                                     {absl::StrCat("self_attn.v_proj", end), kv}};
  };
  add.Product("qkv.weight", sources(".weight"), decoder.hidden_size, TensorSplit::kRows, 2 * kv);
  if (decoder.qkv_bias) add.Vector("qkv.bias", sources(".bias"));
  if (decoder.head_norm != HeadNorm::kNone) {
    add.Vector("q_norm.weight", names.q_norm + ".weight", decoder.head_dim);
    add.Vector("k_norm.weight", names.k_norm + ".weight", decoder.head_dim);
  }
}

void AddLatentAttention(const DecoderSpec& decoder, TensorBuilder& add) {
  const LatentAttention& mla = *decoder.latent;
  const int64_t hidden = decoder.hidden_size, latent = mla.kv_rank + mla.rope;
  const int64_t q_rows = decoder.heads * (mla.nope + mla.rope);
  if (mla.q_rank > 0) {
    add.Product("q_a.weight", {{"self_attn.q_a_proj.weight", mla.q_rank}}, hidden, TensorSplit::kWhole);
    if (decoder.qkv_bias) add.Vector("q_a.bias", "self_attn.q_a_proj.bias", mla.q_rank);
    add.Vector("q_a_norm.weight", "self_attn.q_a_layernorm.weight", mla.q_rank);
    add.Product("q_b.weight", {{"self_attn.q_b_proj.weight", q_rows}}, mla.q_rank, TensorSplit::kRows);
  } else {
    add.Product("q_b.weight", {{"self_attn.q_proj.weight", q_rows}}, hidden, TensorSplit::kRows);
  }
  add.Product("kv_a.weight", {{"self_attn.kv_a_proj_with_mqa.weight", latent}}, hidden, TensorSplit::kWhole);
  if (decoder.qkv_bias) add.Vector("kv_a.bias", "self_attn.kv_a_proj_with_mqa.bias", latent);
  add.Vector("kv_a_norm.weight", "self_attn.kv_a_layernorm.weight", mla.kv_rank);
  // Held once; a step uses it in two halves, folded into the queries and behind the attention.
  add.Product("kv_b.weight", {{"self_attn.kv_b_proj.weight", decoder.heads * (mla.nope + mla.value)}}, mla.kv_rank,
              TensorSplit::kRows);
}

void AddMlp(const DecoderSpec& decoder, const DecoderNames& names, TensorBuilder& add) {
  const int64_t hidden = decoder.hidden_size, mlp = decoder.intermediate_size;
  const auto sources = [&](const char* end) {
    return names.fused_gate_up
               ? Sources{{absl::StrCat("mlp.gate_up_proj", end), 2 * mlp}}
               : Sources{{absl::StrCat("mlp.gate_proj", end), mlp}, {absl::StrCat("mlp.up_proj", end), mlp}};
  };
  add.Product("gate_up.weight", sources(".weight"), hidden, TensorSplit::kRows);
  if (decoder.mlp_bias) add.Vector("gate_up.bias", sources(".bias"));
  add.Product("down.weight", {{"mlp.down_proj.weight", hidden}}, mlp, TensorSplit::kCols);
  if (decoder.mlp_bias) add.Vector("down.bias", "mlp.down_proj.bias", hidden);
}

void AddExperts(const DecoderSpec& decoder, const ExpertNames& names, TensorBuilder& add) {
  const Experts& moe = *decoder.experts;
  const int64_t hidden = decoder.hidden_size, joint = moe.shared * moe.mlp;
  const auto one = [&](const std::string& name) { return absl::StrCat(names.module, "experts.*.", name, ".weight"); };
  add.Matrix("router.weight", {{names.module + "gate.weight", moe.experts}}, hidden);
  if (names.correction_bias) {
    add.Vector("router.correction_bias", names.module + "gate.e_score_correction_bias", moe.experts);
  }
  add.Product("experts.gate_up.weight", {{one(names.gate), moe.mlp}, {one(names.up), moe.mlp}}, hidden,
              TensorSplit::kExperts)
      .count = moe.experts;
  add.Product("experts.down.weight", {{one(names.down), hidden}}, moe.mlp, TensorSplit::kExperts).count = moe.experts;
  if (moe.shared == 0) return;
  const std::string shared = names.module + "shared_experts.";
  add.Product("shared_expert.gate_up.weight",
              {{shared + "gate_proj.weight", joint}, {shared + "up_proj.weight", joint}}, hidden, TensorSplit::kRows);
  add.Product("shared_expert.down.weight", {{shared + "down_proj.weight", hidden}}, joint, TensorSplit::kCols);
}

void AddLayer(const DecoderSpec& decoder, const DecoderNames& names, int64_t layer, TensorBuilder& add) {
  const int64_t hidden = decoder.hidden_size;
  add.In(WeightPart::kLlm, absl::StrCat("llm.layers.", layer, "."), absl::StrCat(names.model, "layers.", layer, "."));
  add.Vector("input_norm.weight", "input_layernorm.weight", hidden);
  if (decoder.latent) {
    AddLatentAttention(decoder, add);
  } else {
    AddGroupedAttention(decoder, names, add);
  }
  const int64_t attention_out = ShapeOf(decoder).attention_out;
  add.Product("o.weight", {{"self_attn.o_proj.weight", hidden}}, attention_out, TensorSplit::kCols);
  if (decoder.output_bias) add.Vector("o.bias", "self_attn.o_proj.bias", hidden);
  if (decoder.sandwich_norms) add.Vector("attention_out_norm.weight", names.attention_out_norm + ".weight", hidden);
  add.Vector("post_norm.weight", "post_attention_layernorm.weight", hidden);
  if (decoder.experts && decoder.experts->In(layer)) {
    AddExperts(decoder, names.experts, add);
  } else {
    AddMlp(decoder, names, add);
  }
  if (decoder.sandwich_norms) add.Vector("mlp_out_norm.weight", names.mlp_out_norm + ".weight", hidden);
}

// What was read of a quantization_config: each format, and the matrices that have it, by their names in a layer.
void NoteFormats(ModelSpec& spec) {
  std::map<std::string, std::set<std::string>> names;
  for (const TensorSpec& tensor : spec.tensors) {
    if (!tensor.linear || tensor.format == WeightFormat()) continue;
    const size_t layer = tensor.name.find("layers."), end = tensor.name.find('.', layer + 7);
    names[WeightFormatName(tensor.format, DType::kBF16)].insert(
        tensor.name.substr(end + 1, tensor.name.rfind('.') - end - 1));
  }
  for (const auto& [format, matrices] : names) {
    spec.assumed.push_back(absl::StrCat("quantization_config: read as ", format, " for ", absl::StrJoin(matrices, ", "),
                                        "; all else in the compute type"));
  }
}

}  // namespace

void AddDecoder(const DecoderNames& names, const Quantization& quantization, ModelSpec& spec) {
  const DecoderSpec& decoder = spec.llm;
  TensorBuilder add(spec.tensors, &quantization);
  add.In(WeightPart::kLlm, "llm.", names.model);
  add.Computed("rope.inv_freq", 1, decoder.rope.Dim(decoder.head_dim) / 2);
  add.Matrix("embed_tokens.weight", {{"embed_tokens.weight", decoder.vocab_size}}, decoder.hidden_size).split =
      TensorSplit::kRows;
  for (int64_t layer = 0; layer < decoder.layers; ++layer) AddLayer(decoder, names, layer, add);
  NoteFormats(spec);
  add.In(WeightPart::kLlm, "llm.", names.model);
  add.Vector("norm.weight", "norm.weight", decoder.hidden_size);
  if (decoder.tie_word_embeddings) return;
  add.In(WeightPart::kHead, "llm.", "");
  add.Matrix("head.weight", {{names.head + ".weight", decoder.vocab_size}}, decoder.hidden_size).split =
      TensorSplit::kRows;
}

}  // namespace headroom::model::reading
