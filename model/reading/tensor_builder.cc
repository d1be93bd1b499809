#include "model/reading/tensor_builder.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace headroom::model::reading {

void TensorBuilder::In(WeightPart part, std::string memory, std::string file) {
  part_ = part;
  memory_ = std::move(memory);
  file_ = std::move(file);
}

TensorSpec& TensorBuilder::Add(const std::string& name) {
  TensorSpec& tensor = tensors_.emplace_back();
  tensor.name = memory_ + name;
  tensor.part = part_;
  return tensor;
}

TensorSpec& TensorBuilder::Vector(const std::string& name, const Sources& sources) {
  TensorSpec& tensor = Add(name);
  tensor.rows = 1;
  tensor.format.kind = WeightFormat::Kind::kF32;
  for (const auto& [source, size] : sources) {
    tensor.cols += size;
    tensor.sources.push_back({file_ + source, {size}});
  }
  return tensor;
}

TensorSpec& TensorBuilder::Matrix(const std::string& name, const Sources& sources, int64_t cols) {
  TensorSpec& tensor = Add(name);
  tensor.cols = cols;
  for (const auto& [source, rows] : sources) {
    tensor.rows += rows;
    tensor.sources.push_back({file_ + source, {rows, cols}});
  }
  return tensor;
}

void TensorBuilder::Affine(const std::string& name, const std::vector<std::string>& sources, int64_t rows,
                           int64_t cols) {
  Sources weights, biases;
  for (const std::string& source : sources) {
    weights.emplace_back(source + ".weight", rows);
    biases.emplace_back(source + ".bias", rows);
  }
  Matrix(name + ".weight", weights, cols);
  Vector(name + ".bias", biases);
}

void TensorBuilder::LayerNorm(const std::string& name, const std::string& source, int64_t width) {
  Vector(name + ".weight", source + ".weight", width);
  Vector(name + ".bias", source + ".bias", width);
}

TensorSpec& TensorBuilder::Product(const std::string& name, const Sources& sources, int64_t cols, TensorSplit split,
                                   int64_t kv_rows) {
  TensorSpec& tensor = Matrix(name, sources, cols);
  tensor.linear = true;
  tensor.split = split;
  tensor.kv_rows = kv_rows;
  if (quantization_ == nullptr) return tensor;
  const auto format_of = [&](const TensorSource& source) {
    const std::string module = absl::StrReplaceAll(source.name, {{"*", "0"}});
    return quantization_->FormatOf(module.substr(0, module.rfind('.')));
  };
  const StoredFormat first = format_of(tensor.sources.front());
  const bool alike = std::all_of(tensor.sources.begin(), tensor.sources.end(),
                                 [&](const TensorSource& source) { return format_of(source) == first; });
  // One matrix in memory has one format.
  tensor.format = alike ? first.format : WeightFormat{.kind = WeightFormat::Kind::kUnknown};
  tensor.packing = alike ? first.packing : Packing::kPlain;
  return tensor;
}

void TensorBuilder::Computed(const std::string& name, int64_t rows, int64_t cols) {
  TensorSpec& tensor = Add(name);
  tensor.rows = rows;
  tensor.cols = cols;
  tensor.format.kind = WeightFormat::Kind::kF32;
}

}  // namespace headroom::model::reading
