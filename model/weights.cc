#include "model/weights.h"

#include <utility>

#include "common/check.h"
#include "common/status.h"

namespace headroom::model {
namespace {

std::string ShapeText(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) absl::StrAppend(&text, i ? ", " : "", shape[i]);
  return text + "]";
}

int64_t Elements(const std::vector<int64_t>& shape) {
  int64_t elements = 1;
  for (const int64_t dimension : shape) elements *= dimension;
  return elements;
}

// Collects held tensors of one part; the names in memory and in the file share a prefix per layer.
class Collector {
 public:
  Collector(WeightPart part, std::vector<HeldTensor>& held) : part_(part), held_(held) {}

  void Prefixes(std::string memory, std::string file) {
    memory_ = std::move(memory);
    file_ = std::move(file);
  }

  // sources are {name in the file, rows}; all have `columns` columns.
  void Matrix(const std::string& name, const std::vector<std::pair<std::string, int64_t>>& sources, int64_t columns) {
    HeldTensor tensor{
        .name = memory_ + name, .part = part_, .rows = 0, .cols = columns, .full_precision = false, .sources = {}};
    for (const auto& [source, rows] : sources) {
      tensor.rows += rows;
      tensor.sources.push_back({file_ + source, {rows, columns}, part_});
    }
    held_.push_back(std::move(tensor));
  }

  void Vector(const std::string& name, const std::vector<std::pair<std::string, int64_t>>& sources) {
    HeldTensor tensor{
        .name = memory_ + name, .part = part_, .rows = 1, .cols = 0, .full_precision = true, .sources = {}};
    for (const auto& [source, columns] : sources) {
      tensor.cols += columns;
      tensor.sources.push_back({file_ + source, {columns}, part_});
    }
    held_.push_back(std::move(tensor));
  }

  // Weight and bias of a layer norm.
  void Norm(const std::string& name, const std::string& source, int64_t width) {
    Vector(name + ".weight", {{source + ".weight", width}});
    Vector(name + ".bias", {{source + ".bias", width}});
  }

  // Weight and bias of a linear layer made of several of the file.
  void Linear(const std::string& name, const std::vector<std::string>& sources, int64_t rows, int64_t columns) {
    std::vector<std::pair<std::string, int64_t>> weights, biases;
    for (const std::string& source : sources) {
      weights.emplace_back(source + ".weight", rows);
      biases.emplace_back(source + ".bias", rows);
    }
    Matrix(name + ".weight", weights, columns);
    Vector(name + ".bias", biases);
  }

  void Computed(const std::string& name, int64_t rows, int64_t columns) {
    held_.push_back(
        {.name = memory_ + name, .part = part_, .rows = rows, .cols = columns, .full_precision = true, .sources = {}});
  }

 private:
  WeightPart part_;
  std::vector<HeldTensor>& held_;
  std::string memory_, file_;
};

void AddVision(const ModelConfig& config, std::vector<HeldTensor>& held) {
  const VisionConfig& vision = *config.vision;
  const int64_t width = vision.hidden_size;
  Collector add(WeightPart::kVision, held);
  add.Prefixes("vision.", "vpm.embeddings.");
  add.Matrix("patch_embedding.weight", {{"patch_embedding.weight", width}}, vision.patch_values());
  held.back().sources[0].shape = {width, vision.channels, vision.patch_size, vision.patch_size};
  add.Vector("patch_embedding.bias", {{"patch_embedding.bias", width}});
  add.Matrix("position_embedding.weight", {{"position_embedding.weight", vision.position_side * vision.position_side}},
             width);
  for (int64_t i = 0; i < vision.layers; ++i) {
    add.Prefixes(absl::StrCat("vision.layers.", i, "."), absl::StrCat("vpm.encoder.layers.", i, "."));
    add.Norm("norm1", "layer_norm1", width);
    add.Linear("qkv", {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}, width, width);
    add.Linear("out", {"self_attn.out_proj"}, width, width);
    add.Norm("norm2", "layer_norm2", width);
    add.Linear("fc1", {"mlp.fc1"}, vision.intermediate_size, width);
    add.Linear("fc2", {"mlp.fc2"}, width, vision.intermediate_size);
  }
  add.Prefixes("vision.", "vpm.");
  add.Norm("post_norm", "post_layernorm", width);
}

void AddResampler(const ModelConfig& config, std::vector<HeldTensor>& held) {
  const int64_t width = config.llm.hidden_size;
  Collector add(WeightPart::kResampler, held);
  add.Prefixes("resampler.", "resampler.");
  add.Matrix("query", {{"query", config.resampler.query_num}}, width);
  held.back().full_precision = true;  // it passes a layer norm before its first product
  add.Matrix("kv_proj.weight", {{"kv_proj.weight", width}}, config.vision->hidden_size);
  add.Norm("norm_q", "ln_q", width);
  add.Norm("norm_kv", "ln_kv", width);
  add.Matrix("in_proj.weight", {{"attn.in_proj_weight", 3 * width}}, width);
  add.Vector("in_proj.bias", {{"attn.in_proj_bias", 3 * width}});
  add.Linear("out_proj", {"attn.out_proj"}, width, width);
  add.Norm("norm_post", "ln_post", width);
  add.Matrix("proj", {{"proj", width}}, width);
  add.Computed("q", config.resampler.query_num, width);
}

void AddDecoder(const ModelConfig& config, std::vector<HeldTensor>& held) {
  const DecoderConfig& llm = config.llm;
  const std::string root = config.architecture == Architecture::kMiniCpmV26 ? "llm." : "";
  const int64_t width = llm.hidden_size;
  const int64_t q_rows = llm.heads * llm.head_dim;
  const int64_t kv_rows = llm.kv_heads * llm.head_dim;
  Collector add(WeightPart::kLlm, held);
  add.Prefixes("llm.", root + "model.");
  add.Computed("rope.inv_freq", 1, llm.head_dim / 2);
  add.Matrix("embed_tokens.weight", {{"embed_tokens.weight", llm.vocab_size}}, width);
  for (int64_t i = 0; i < llm.layers; ++i) {
    add.Prefixes(absl::StrCat("llm.layers.", i, "."), absl::StrCat(root, "model.layers.", i, "."));
    add.Vector("input_norm.weight", {{"input_layernorm.weight", width}});
    add.Matrix("qkv.weight",
               {{"self_attn.q_proj.weight", q_rows},
                {"self_attn.k_proj.weight", kv_rows},
                {"self_attn.v_proj.weight", kv_rows}},
               width);
    if (llm.qkv_bias) {
      add.Vector(
          "qkv.bias",
          {{"self_attn.q_proj.bias", q_rows}, {"self_attn.k_proj.bias", kv_rows}, {"self_attn.v_proj.bias", kv_rows}});
    }
    add.Matrix("o.weight", {{"self_attn.o_proj.weight", width}}, q_rows);
    if (llm.output_bias) add.Vector("o.bias", {{"self_attn.o_proj.bias", width}});
    add.Vector("post_norm.weight", {{"post_attention_layernorm.weight", width}});
    add.Matrix("gate_up.weight",
               {{"mlp.gate_proj.weight", llm.intermediate_size}, {"mlp.up_proj.weight", llm.intermediate_size}}, width);
    add.Matrix("down.weight", {{"mlp.down_proj.weight", width}}, llm.intermediate_size);
  }
  add.Prefixes("llm.", root + "model.");
  add.Vector("norm.weight", {{"norm.weight", width}});
  if (llm.tie_word_embeddings) return;
  Collector head(WeightPart::kHead, held);
  head.Prefixes("llm.", root);
  head.Matrix("head.weight", {{"lm_head.weight", llm.vocab_size}}, width);
}

bool IsFloat(StoredType type) {
  return type == StoredType::kF32 || type == StoredType::kF16 || type == StoredType::kBF16;
}

}  // namespace

const char* WeightPartName(WeightPart part) {
  switch (part) {
    case WeightPart::kVision:
      return "vision";
    case WeightPart::kResampler:
      return "resampler";
    case WeightPart::kLlm:
      return "llm";
    case WeightPart::kHead:
      return "head";
  }
  return "unknown";
}

std::vector<HeldTensor> HeldTensors(const ModelConfig& config) {
  std::vector<HeldTensor> held;
  if (config.vision) {
    AddVision(config, held);
    AddResampler(config, held);
  }
  AddDecoder(config, held);
  return held;
}

std::vector<ExpectedTensor> ExpectedTensors(const ModelConfig& config) {
  std::vector<ExpectedTensor> expected;
  for (HeldTensor& held : HeldTensors(config)) {
    for (ExpectedTensor& source : held.sources) expected.push_back(std::move(source));
  }
  return expected;
}

int64_t ParameterCount(const ModelConfig& config, WeightPart part) {
  int64_t count = 0;
  for (const ExpectedTensor& tensor : ExpectedTensors(config)) {
    if (tensor.part == part) count += Elements(tensor.shape);
  }
  return count;
}

int64_t ParameterCount(const ModelConfig& config) {
  int64_t count = 0;
  for (const ExpectedTensor& tensor : ExpectedTensors(config)) count += Elements(tensor.shape);
  return count;
}

absl::StatusOr<int64_t> CheckTensors(const ModelConfig& config, const Checkpoint& checkpoint) {
  const std::vector<ExpectedTensor> expected = ExpectedTensors(config);
  for (const ExpectedTensor& tensor : expected) {
    const TensorInfo* found = checkpoint.Find(tensor.name);
    if (!found) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", tensor.name, ": missing from the checkpoint, wanted ", ShapeText(tensor.shape)));
    }
    if (found->shape != tensor.shape) {
      return absl::InvalidArgumentError(absl::StrCat("tensor ", tensor.name, ": the checkpoint has ",
                                                     ShapeText(found->shape), ", the config wants ",
                                                     ShapeText(tensor.shape)));
    }
    if (!IsFloat(found->type)) {
      return absl::InvalidArgumentError(absl::StrCat("tensor ", tensor.name, ": the checkpoint has ",
                                                     StoredTypeName(found->type), ", wanted F32, F16 or BF16"));
    }
  }
  return static_cast<int64_t>(checkpoint.tensors().size() - expected.size());
}

}  // namespace headroom::model
