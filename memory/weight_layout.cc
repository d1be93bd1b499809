#include "memory/weight_layout.h"

#include <cmath>
#include <cstring>
#include <utility>

#include "common/check.h"
#include "common/status.h"
#include "memory/arena.h"

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
                                std::span<std::byte> destination, void (*progress)(void* context, int64_t bytes),
                                void* context) const {
  HEADROOM_CHECK(static_cast<int64_t>(destination.size()) == Bytes(part))
      << model::WeightPartName(part) << " weights: memory of " << destination.size() << " for " << Bytes(part);
  for (const model::HeldTensor& held : held_) {
    if (held.part != part) continue;
    const WeightRegion& region = (*this)[held.name];
    int64_t next = region.offset;
    for (const model::ExpectedTensor& source : held.sources) {
      int64_t bytes = SizeOf(region.dtype);
      for (const int64_t dimension : source.shape) bytes *= dimension;
      HEADROOM_RETURN_IF_ERROR(checkpoint.ReadAs(source.name, region.dtype, destination.subspan(next, bytes)));
      next += bytes;
    }
    if (held.name == "llm.rope.inv_freq") FillInverseFrequencies(region, destination);
    if (progress) progress(context, region.offset + region.bytes);
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
