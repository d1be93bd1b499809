#include "model/card.h"

#include <algorithm>

#include "common/arith.h"
#include "common/check.h"
#include "common/status.h"

namespace headroom::model {
namespace {

constexpr int64_t kScaleBytes = 2;

bool EndsWith(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// How the decoder's held matrices divide among ranks; vision and resampler lie whole where the vision role is.
void SetSplit(const DecoderConfig& llm, CardTensor& tensor) {
  const std::string& name = tensor.name;
  const bool by_rows = tensor.part == WeightPart::kHead || name == "llm.embed_tokens.weight" ||
                       EndsWith(name, ".qkv.weight") || EndsWith(name, ".gate_up.weight");
  if (by_rows) {
    tensor.split = TensorSplit::kRows;
    if (EndsWith(name, ".qkv.weight")) tensor.kv_rows = 2 * llm.kv_heads * llm.head_dim;
  } else if (EndsWith(name, ".o.weight") || EndsWith(name, ".down.weight")) {
    tensor.split = TensorSplit::kCols;
  }
  tensor.linear =
      name.find(".layers.") != std::string::npos && EndsWith(name, ".weight") && !EndsWith(name, "norm.weight");
}

EncoderShape EncoderOf(const ModelConfig& config) {
  const VisionConfig& vision = *config.vision;
  const int64_t side = std::max<int64_t>(1, config.slice.scale_resolution / config.slice.patch_size);
  EncoderShape shape;
  shape.patch_values = vision.patch_values();
  shape.width = vision.hidden_size;
  shape.mlp_in = shape.mlp_out = vision.intermediate_size;
  shape.out = config.llm.hidden_size;
  shape.query_num = config.resampler.query_num;
  shape.usual_patches = side * side;
  // A piece of an aspect ratio up to 50 to 1 needs about an eighth more than the usual one.
  shape.largest_patches = shape.usual_patches * 9 / 8 + 1;
  shape.pieces_max = config.slice.max_slice_nums + 1;
  return shape;
}

}  // namespace

std::string WeightFormatName(const WeightFormat& format, DType compute) {
  switch (format.kind) {
    case WeightFormat::Kind::kCompute:
      return DTypeName(compute);
    case WeightFormat::Kind::kF32:
      return "fp32";
    case WeightFormat::Kind::kFp8:
      return "fp8";
    case WeightFormat::Kind::kInt8:
      return "int8";
    case WeightFormat::Kind::kInt4:
      return absl::StrCat("int4 in groups of ", format.group);
  }
  return "unknown";
}

int64_t MatrixBytes(const WeightFormat& format, int64_t rows, int64_t cols, DType compute) {
  switch (format.kind) {
    case WeightFormat::Kind::kCompute:
      return rows * cols * SizeOf(compute);
    case WeightFormat::Kind::kF32:
      return rows * cols * SizeOf(DType::kF32);
    case WeightFormat::Kind::kFp8:
    case WeightFormat::Kind::kInt8:
      return rows * (cols + kScaleBytes);
    case WeightFormat::Kind::kInt4:
      HEADROOM_CHECK(format.group > 0) << "int4 without groups";
      return rows * (CeilDiv(cols, 2) + CeilDiv(cols, format.group) * kScaleBytes);
  }
  return 0;
}

ModelCard CardOf(const ModelConfig& config) {
  const DecoderConfig& llm = config.llm;
  ModelCard card;
  card.family = card.architecture = ArchitectureName(config.architecture);
  card.max_position_embeddings = llm.max_position_embeddings;
  card.kv = {.layers = llm.layers, .vectors = 2, .heads = llm.kv_heads, .head_dim = llm.head_dim};
  card.decoder = {.hidden = llm.hidden_size,
                  .attention_in = (llm.heads + 2 * llm.kv_heads) * llm.head_dim,
                  .attention_out = llm.heads * llm.head_dim,
                  .mlp_in = 2 * llm.intermediate_size,
                  .mlp_out = llm.intermediate_size,
                  .routed = 0,
                  .router = 0,
                  .vocab = llm.vocab_size,
                  .heads = llm.heads};
  if (config.vision) card.encoder = EncoderOf(config);
  for (const HeldTensor& held : HeldTensors(config)) {
    CardTensor tensor;
    tensor.name = held.name;
    tensor.part = held.part;
    tensor.rows = held.rows;
    tensor.cols = held.cols;
    if (held.full_precision) tensor.format.kind = WeightFormat::Kind::kF32;
    if (held.part == WeightPart::kLlm || held.part == WeightPart::kHead) SetSplit(llm, tensor);
    tensor.in_checkpoint = !held.sources.empty();
    card.tensors.push_back(std::move(tensor));
  }
  card.served = config;
  return card;
}

int64_t ParameterCount(const ModelCard& card, WeightPart part) {
  int64_t count = 0;
  for (const CardTensor& tensor : card.tensors) {
    if (tensor.part == part && tensor.in_checkpoint) count += tensor.count * tensor.rows * tensor.cols;
  }
  return count;
}

int64_t ParameterCount(const ModelCard& card) {
  int64_t count = 0;
  for (int part = 0; part < kWeightParts; ++part) count += ParameterCount(card, static_cast<WeightPart>(part));
  return count;
}

}  // namespace headroom::model
