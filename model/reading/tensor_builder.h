// The tensors of a model, added one by one in the order of execution: what they are called in memory and in the
// checkpoint, their shapes, formats and how ranks share them.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "model/reading/quantization.h"
#include "model/spec.h"
#include "model/tensor_spec.h"

namespace headroom::model::reading {

// {name in the checkpoint, rows (of a matrix) or elements (of a vector)}
using Sources = std::vector<std::pair<std::string, int64_t>>;

class TensorBuilder {
 public:
  // `quantization`, which outlives this, says how products are stored; null: all in the compute type.
  explicit TensorBuilder(std::vector<TensorSpec>& tensors, const Quantization* quantization = nullptr)
      : tensors_(tensors), quantization_(quantization) {}

  // The part, and what stands before the names that follow, in memory and in the checkpoint.
  void In(WeightPart part, std::string memory, std::string file);

  // fp32 whatever the compute type.
  TensorSpec& Vector(const std::string& name, const Sources& sources);
  TensorSpec& Vector(const std::string& name, const std::string& source, int64_t size) {
    return Vector(name, {{source, size}});
  }
  TensorSpec& Matrix(const std::string& name, const Sources& sources, int64_t cols);
  // NAME.weight and NAME.bias of sources SOURCE.weight and SOURCE.bias, `rows` each.
  void Affine(const std::string& name, const std::vector<std::string>& sources, int64_t rows, int64_t cols);
  // Weight and bias of a layer norm.
  void LayerNorm(const std::string& name, const std::string& source, int64_t width);
  // A product of the decoder's layers. Experts of a layer are stored like the first of them.
  TensorSpec& Product(const std::string& name, const Sources& sources, int64_t cols, TensorSplit split,
                      int64_t kv_rows = 0);
  // fp32, not in the checkpoint.
  void Computed(const std::string& name, int64_t rows, int64_t cols);

 private:
  TensorSpec& Add(const std::string& name);

  std::vector<TensorSpec>& tensors_;
  const Quantization* quantization_;
  WeightPart part_ = WeightPart::kLlm;
  std::string memory_, file_;
};

// What the tensors of experts are called: MODULE gate, MODULE experts.N.GATE|UP|DOWN, MODULE shared_experts.
struct ExpertNames {
  std::string module = "mlp.";
  std::string gate = "gate_proj", up = "up_proj", down = "down_proj";
  bool correction_bias = true;  // gate.e_score_correction_bias
};

// What the tensors of a decoder are called in the checkpoint.
struct DecoderNames {
  std::string model = "model.";  // before embed_tokens, layers.N and norm
  std::string head = "lm_head";
  bool fused_qkv = false;      // one self_attn.qkv_proj
  bool fused_gate_up = false;  // one mlp.gate_up_proj, gate first
  ExpertNames experts = {};
  std::string q_norm = "self_attn.q_norm", k_norm = "self_attn.k_norm";
  // Of sandwich norms.
  std::string attention_out_norm = "post_self_attn_layernorm", mlp_out_norm = "post_mlp_layernorm";
};

// Adds the tensors of spec.llm to spec.tensors, and to spec.assumed what was read of their formats.
void AddDecoder(const DecoderNames& names, const Quantization& quantization, ModelSpec& spec);

}  // namespace headroom::model::reading
