#include "memory/weight_layout.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "common/check.h"
#include "common/status.h"
#include "memory/alignment.h"

namespace headroom::memory {

Component WeightComponent(model::WeightPart part) {
  switch (part) {
    case model::WeightPart::kVision:
      return Component::kVisionWeights;
    case model::WeightPart::kResampler:
      return Component::kResamplerWeights;
    case model::WeightPart::kLlm:
      return Component::kLlmWeights;
    case model::WeightPart::kHead:
      return Component::kHeadWeights;
  }
  HEADROOM_CHECK(false) << "weight part " << static_cast<int>(part);
  return Component::kLlmWeights;
}

LoadProgress After(int64_t bytes_before, LoadProgress progress) {
  if (!progress) return {};
  return [bytes_before, progress = std::move(progress)](int64_t bytes) { return progress(bytes_before + bytes); };
}

namespace {

// Into `memory` from *next on; moves *next behind the tensor. In chunks of whole rows.
absl::Status LoadTensor(const model::Checkpoint& checkpoint, const model::ExpectedTensor& tensor, DType dtype,
                        std::span<std::byte> memory, int64_t* next, const LoadProgress& progress) {
  const int64_t rows = tensor.shape.empty() ? 1 : tensor.shape.front();
  int64_t row_bytes = SizeOf(dtype);
  for (size_t i = 1; i < tensor.shape.size(); ++i) row_bytes *= tensor.shape[i];
  const int64_t chunk_rows = std::max<int64_t>(1, kLoadChunkBytes / row_bytes);
  for (int64_t row = 0; row < rows; row += chunk_rows) {
    const int64_t count = std::min(chunk_rows, rows - row);
    HEADROOM_RETURN_IF_ERROR(
        checkpoint.ReadRowsAs(tensor.name, row, count, dtype, memory.subspan(*next, count * row_bytes)));
    *next += count * row_bytes;
    if (progress) HEADROOM_RETURN_IF_ERROR(progress(*next));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<WeightLayout> WeightLayout::Make(const model::ModelConfig& config, DType compute) {
  if (compute != DType::kF32 && compute != DType::kBF16) {
    return absl::InvalidArgumentError(
        absl::StrCat("weights: not supported: ", DTypeName(compute), " (only fp32, bf16)"));
  }
  WeightLayout layout;
  layout.compute_ = compute;
  layout.rope_theta_ = config.llm.rope_theta;
  layout.held_ = model::HeldTensors(config);
  for (const model::HeldTensor& held : layout.held_) {
    WeightRegion region{
        .part = held.part, .dtype = held.full_precision ? DType::kF32 : compute, .rows = held.rows, .cols = held.cols};
    int64_t& part_bytes = layout.bytes_[static_cast<int>(held.part)];
    region.offset = part_bytes;
    region.bytes = held.rows * held.cols * SizeOf(region.dtype);
    part_bytes += AlignUp(region.bytes);
    const bool inserted = layout.regions_.emplace(held.name, region).second;
    HEADROOM_CHECK(inserted) << "weight " << held.name << " twice";
  }
  return layout;
}

const WeightRegion& WeightLayout::operator[](const std::string& name) const {
  const auto found = regions_.find(name);
  HEADROOM_CHECK(found != regions_.end()) << "no weight " << name;
  return found->second;
}

absl::Status WeightLayout::Load(const model::Checkpoint& checkpoint, model::WeightPart part,
                                std::span<std::byte> destination, const LoadProgress& progress) const {
  HEADROOM_CHECK(static_cast<int64_t>(destination.size()) == Bytes(part))
      << model::WeightPartName(part) << " weights: memory of " << destination.size() << " for " << Bytes(part);
  for (const model::HeldTensor& held : held_) {
    if (held.part != part) continue;
    const WeightRegion& region = (*this)[held.name];
    int64_t next = region.offset;
    for (const model::ExpectedTensor& source : held.sources) {
      HEADROOM_RETURN_IF_ERROR(LoadTensor(checkpoint, source, region.dtype, destination, &next, progress));
    }
    if (held.name == "llm.rope.inv_freq") FillInverseFrequencies(region, destination);
  }
  checkpoint.DropCached();
  return absl::OkStatus();
}

void WeightLayout::FillInverseFrequencies(const WeightRegion& region, std::span<std::byte> destination) const {
  // The reference computes theta ^ (2i / head_dim) in fp32 and takes the reciprocal in fp32.
  for (int64_t i = 0; i < region.cols; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(2 * region.cols);
    const float frequency = 1.0f / static_cast<float>(std::pow(rope_theta_, static_cast<double>(exponent)));
    std::memcpy(destination.data() + region.offset + i * sizeof(float), &frequency, sizeof(float));
  }
}

}  // namespace headroom::memory
