#include "memory/rank_share.h"

#include <algorithm>

#include "common/arith.h"
#include "common/status.h"
#include "memory/alignment.h"

namespace headroom::memory {
namespace {

using model::TensorSpec;
using model::TensorSplit;

int64_t RankKvHeads(const model::KvShape& kv, int64_t ranks) {
  return kv.vectors == 1 ? kv.heads : std::max<int64_t>(1, kv.heads / ranks);
}

// What `ranks` must divide, of a matrix.
int64_t SharedSize(const TensorSpec& tensor) {
  switch (tensor.split) {
    case TensorSplit::kRows:
      return tensor.rows - tensor.kv_rows;
    case TensorSplit::kCols:
      return tensor.cols;
    case TensorSplit::kExperts:
      return tensor.count;
    case TensorSplit::kWhole:
      break;
  }
  return 0;
}

bool IsVocabulary(const model::ModelSpec& spec, const TensorSpec& tensor) {
  return tensor.split == TensorSplit::kRows && tensor.kv_rows == 0 && tensor.rows == spec.llm.vocab_size;
}

}  // namespace

TensorSpec RankTensor(const model::ModelSpec& spec, TensorSpec tensor, int64_t ranks) {
  switch (tensor.split) {
    case TensorSplit::kRows: {
      const model::KvShape kv = KvOf(spec.llm);
      const int64_t kv_rows = tensor.kv_rows / kv.heads * RankKvHeads(kv, ranks);
      // The vocabulary need not divide: the last rank pads.
      tensor.rows = CeilDiv(tensor.rows - tensor.kv_rows, ranks) + kv_rows;
      break;
    }
    case TensorSplit::kCols:
      tensor.cols /= ranks;
      break;
    case TensorSplit::kExperts:
      tensor.count /= ranks;
      break;
    case TensorSplit::kWhole:
      break;
  }
  return tensor;
}

absl::Status CheckRanks(const model::ModelSpec& spec, int64_t ranks) {
  const auto refuse = [ranks](const std::string& what, int64_t size) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor_parallel_size: ", ranks, " does not divide ", what, " ", size));
  };
  const model::KvShape kv = KvOf(spec.llm);
  if (spec.llm.heads % ranks != 0) return refuse("num_attention_heads", spec.llm.heads);
  if (kv.vectors == 2 && kv.heads % ranks != 0 && ranks % kv.heads != 0) {
    return refuse("num_key_value_heads", kv.heads);
  }
  for (const TensorSpec& tensor : spec.tensors) {
    if (IsVocabulary(spec, tensor)) continue;
    const int64_t size = SharedSize(tensor);
    if (size % ranks != 0) return refuse("what ranks share of " + tensor.name + ":", size);
  }
  return absl::OkStatus();
}

model::WeightFormat PlannedFormat(const TensorSpec& tensor, const std::optional<model::WeightFormat>& quantization) {
  const bool replaced = quantization && tensor.linear && tensor.format.kind == model::WeightFormat::Kind::kCompute;
  return replaced ? *quantization : tensor.format;
}

absl::StatusOr<std::array<int64_t, model::kWeightParts>> RankWeightBytes(
    const model::ModelSpec& spec, DType compute, const std::optional<model::WeightFormat>& quantization,
    int64_t ranks) {
  std::array<int64_t, model::kWeightParts> bytes{};
  for (const TensorSpec& whole : spec.tensors) {
    const TensorSpec tensor = RankTensor(spec, whole, ranks);
    const int64_t each =
        AlignUp(model::MatrixBytes(PlannedFormat(tensor, quantization), tensor.rows, tensor.cols, compute));
    int64_t all = 0;
    int64_t& part = bytes[static_cast<int>(tensor.part)];
    if (__builtin_mul_overflow(each, tensor.count, &all) || __builtin_add_overflow(part, all, &part)) {
      return absl::InvalidArgumentError("weights: " + tensor.name + " leaves 64 bits");
    }
  }
  return bytes;
}

model::DecoderShape RankDecoder(const model::ModelSpec& spec, int64_t ranks) {
  model::DecoderShape shape = ShapeOf(spec.llm);
  const auto share = [ranks](int64_t width) { return CeilDiv(width, ranks); };
  const model::KvShape kv = KvOf(spec.llm);
  const int64_t all_kv = kv.vectors * kv.heads * kv.head_dim;
  const int64_t rank_kv = kv.vectors * RankKvHeads(kv, ranks) * kv.head_dim;
  shape.attention_in = share(std::max<int64_t>(0, shape.attention_in - all_kv)) + std::min(rank_kv, shape.attention_in);
  shape.attention_out = share(shape.attention_out);
  shape.mlp_in = share(shape.mlp_in);
  shape.mlp_out = share(shape.mlp_out);
  return shape;
}

absl::StatusOr<KvLayout> RankKv(const model::ModelSpec& spec, int64_t ranks, int64_t block_size, DType dtype) {
  const model::KvShape kv = KvOf(spec.llm);
  return KvLayout::Make(kv.layers, RankKvHeads(kv, ranks), kv.head_dim, block_size, dtype, kv.vectors);
}

}  // namespace headroom::memory
