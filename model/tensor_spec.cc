#include "model/tensor_spec.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace headroom::model {
namespace {

std::string ShapeText(const std::vector<int64_t>& shape) { return absl::StrCat("[", absl::StrJoin(shape, ", "), "]"); }

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

int64_t ParameterCount(const std::vector<TensorSpec>& tensors, WeightPart part) {
  int64_t count = 0;
  for (const TensorSpec& tensor : tensors) {
    if (tensor.part == part && !tensor.computed()) count += tensor.count * tensor.rows * tensor.cols;
  }
  return count;
}

int64_t ParameterCount(const std::vector<TensorSpec>& tensors) {
  int64_t count = 0;
  for (int part = 0; part < kWeightParts; ++part) count += ParameterCount(tensors, static_cast<WeightPart>(part));
  return count;
}

std::vector<TensorSource> SourcesOf(const std::vector<TensorSpec>& tensors) {
  std::vector<TensorSource> sources;
  for (const TensorSpec& tensor : tensors) {
    for (int64_t i = 0; i < tensor.count; ++i) {
      for (const TensorSource& source : tensor.sources) {
        sources.push_back({absl::StrReplaceAll(source.name, {{"*", absl::StrCat(i)}}), source.shape});
      }
    }
  }
  return sources;
}

absl::StatusOr<int64_t> CheckTensors(const std::vector<TensorSpec>& tensors, const Checkpoint& checkpoint) {
  const std::vector<TensorSource> sources = SourcesOf(tensors);
  for (const TensorSource& source : sources) {
    const TensorInfo* found = checkpoint.Find(source.name);
    if (!found) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", source.name, ": missing from the checkpoint, wanted ", ShapeText(source.shape)));
    }
    if (found->shape != source.shape) {
      return absl::InvalidArgumentError(absl::StrCat("tensor ", source.name, ": the checkpoint has ",
                                                     ShapeText(found->shape), ", the config wants ",
                                                     ShapeText(source.shape)));
    }
    if (!IsFloat(found->type)) {
      return absl::InvalidArgumentError(absl::StrCat("tensor ", source.name, ": the checkpoint has ",
                                                     StoredTypeName(found->type), ", wanted F32, F16 or BF16"));
    }
  }
  return static_cast<int64_t>(checkpoint.tensors().size() - sources.size());
}

}  // namespace headroom::model
