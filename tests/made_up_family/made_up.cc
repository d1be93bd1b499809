// A family that nobody published: it computes as Llama does, and says so in other words. Its tensors in the checkpoint:
//
//   token_table  [V, E]                      readout      [V, E]                     norm_last [E]
//   block.N.norm_1 | norm_2  [E]             block.N.mix  [E, H·hd]
//   block.N.look [(H+2KV)·hd, E]  queries, keys, values
//   block.N.widen  [2I, E]  gate first       block.N.narrow [E, I]
#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "model/reading/limits.h"
#include "model/reading/registry.h"
#include "model/reading/tensor_builder.h"

namespace headroom::model::reading {
namespace {

DecoderSpec ReadMadeUpDecoder(FieldReader& config) {
  DecoderSpec decoder;
  decoder.hidden_size = config.Int("width", 2, kWidthMax);
  decoder.intermediate_size = config.Int("gate_width", 1, kMlpWidthMax);
  decoder.layers = config.Int("blocks", 1, kLayersMax);
  decoder.heads = config.Int("query_heads", 1, kHeadsMax);
  decoder.kv_heads = config.IntElse("key_heads", 1, kHeadsMax, decoder.heads, "as many as query_heads");
  decoder.head_dim = config.Int("head_width", 2, kHeadDimMax);
  decoder.rms_norm_eps = config.Number("norm_floor", 0, 1, decoder.rms_norm_eps);
  decoder.rope.theta = config.Number("turn_base", 1, 1e12, decoder.rope.theta);
  decoder.max_position_embeddings = config.IntOr("context", 1, kPositionsMax, 2048);
  decoder.vocab_size = config.Int("tokens", 1, kVocabularyMax);
  decoder.eos_token_ids = config.Ints("end_tokens", 0, decoder.vocab_size - 1, 16);
  if (decoder.heads % decoder.kv_heads != 0) {
    config.Fail("key_heads", absl::StrCat(decoder.kv_heads, " does not divide query_heads ", decoder.heads));
  }
  if (decoder.head_dim % 2 != 0) config.Fail("head_width", absl::StrCat(decoder.head_dim, " must be even"));
  return decoder;
}

void AddTensors(const DecoderSpec& decoder, std::vector<TensorSpec>& tensors) {
  const int64_t hidden = decoder.hidden_size, mlp = decoder.intermediate_size;
  const int64_t q = decoder.heads * decoder.head_dim, kv = decoder.kv_heads * decoder.head_dim;
  TensorBuilder add(tensors);
  add.In(WeightPart::kLlm, "llm.", "");
  add.Computed("rope.inv_freq", 1, decoder.rope.Dim(decoder.head_dim) / 2);
  add.Matrix("embed_tokens.weight", {{"token_table", decoder.vocab_size}}, hidden).split = TensorSplit::kRows;
  for (int64_t i = 0; i < decoder.layers; ++i) {
    add.In(WeightPart::kLlm, absl::StrCat("llm.layers.", i, "."), absl::StrCat("block.", i, "."));
    add.Vector("input_norm.weight", "norm_1", hidden);
    add.Product("qkv.weight", {{"look", q + 2 * kv}}, hidden, TensorSplit::kRows, 2 * kv);
    add.Product("o.weight", {{"mix", hidden}}, q, TensorSplit::kCols);
    add.Vector("post_norm.weight", "norm_2", hidden);
    add.Product("gate_up.weight", {{"widen", 2 * mlp}}, hidden, TensorSplit::kRows);
    add.Product("down.weight", {{"narrow", hidden}}, mlp, TensorSplit::kCols);
  }
  add.In(WeightPart::kLlm, "llm.", "");
  add.Vector("norm.weight", "norm_last", hidden);
  add.In(WeightPart::kHead, "llm.", "");
  add.Matrix("head.weight", {{"readout", decoder.vocab_size}}, hidden).split = TensorSplit::kRows;
}

absl::StatusOr<ModelSpec> Read(const FamilyInput& input) {
  ModelSpec spec;
  spec.family = "Made-up";
  FieldReader config(input.config, "", spec.assumed);
  spec.llm = ReadMadeUpDecoder(config);
  HEADROOM_RETURN_IF_ERROR(config.status());
  AddTensors(spec.llm, spec.tensors);
  return spec;
}

}  // namespace

extern const Family kMadeUp{{"MadeUpForCausalLM"}, Read};

}  // namespace headroom::model::reading
