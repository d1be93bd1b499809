#include "model/tensor_spec.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "common/status.h"

namespace headroom::model {
namespace {

std::string ShapeText(const std::vector<int64_t>& shape) { return absl::StrCat("[", absl::StrJoin(shape, ", "), "]"); }

// "F32, F16 or BF16"
std::string TypesText(const std::vector<StoredType>& types) {
  std::string text;
  for (size_t i = 0; i < types.size(); ++i) {
    absl::StrAppend(&text, i == 0 ? "" : i + 1 == types.size() ? " or " : ", ", StoredTypeName(types[i]));
  }
  return text;
}

std::vector<TensorSource> SourcesOf(const TensorSpec& tensor) {
  std::vector<TensorSource> sources;
  for (int64_t i = 0; i < tensor.count; ++i) {
    for (const TensorSource& source : tensor.sources) {
      sources.push_back({absl::StrReplaceAll(source.name, {{"*", absl::StrCat(i)}}), source.shape});
    }
  }
  return sources;
}

// A scalar may be written as [], [1] or [1, 1].
bool SameShape(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  const auto is_one = [](const std::vector<int64_t>& shape) {
    return std::all_of(shape.begin(), shape.end(), [](int64_t side) { return side == 1; });
  };
  return a == b || (is_one(a) && is_one(b));
}

absl::Status CheckPart(const StoredPart& part, const TensorInfo* found) {
  if (!found) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor ", part.name, ": missing from the checkpoint, wanted ", ShapeText(part.shape)));
  }
  if (!SameShape(found->shape, part.shape)) {
    return absl::InvalidArgumentError(absl::StrCat("tensor ", part.name, ": the checkpoint has ",
                                                   ShapeText(found->shape), ", the config wants ",
                                                   ShapeText(part.shape)));
  }
  if (std::find(part.types.begin(), part.types.end(), found->type) == part.types.end()) {
    return absl::InvalidArgumentError(absl::StrCat("tensor ", part.name, ": the checkpoint has ",
                                                   StoredTypeName(found->type), ", wanted ", TypesText(part.types)));
  }
  return absl::OkStatus();
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
    for (TensorSource& source : SourcesOf(tensor)) sources.push_back(std::move(source));
  }
  return sources;
}

std::vector<StoredPart> StoredPartsOf(const TensorSpec& tensor) {
  std::vector<StoredPart> parts;
  for (const TensorSource& source : SourcesOf(tensor)) {
    for (StoredPart& part : StoredParts(tensor.packing, tensor.format, source.name, source.shape)) {
      parts.push_back(std::move(part));
    }
  }
  return parts;
}

absl::StatusOr<int64_t> CheckTensors(const std::vector<TensorSpec>& tensors, const Checkpoint& checkpoint) {
  auto unused = static_cast<int64_t>(checkpoint.tensors().size());
  for (const TensorSpec& tensor : tensors) {
    for (const StoredPart& part : StoredPartsOf(tensor)) {
      const TensorInfo* const found = checkpoint.Find(part.name);
      if (!found && part.optional) continue;
      HEADROOM_RETURN_IF_ERROR(CheckPart(part, found));
      --unused;
    }
  }
  return unused;
}

}  // namespace headroom::model
