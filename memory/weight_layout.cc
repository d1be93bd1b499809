#include "memory/weight_layout.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
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

// A chunk that is still in a cache when it is written to its place.
constexpr int64_t kStagingBytes = int64_t{1} << 20;

// To *next of `destination`, and moves *next behind the tensor. Chunks of whole rows pass through host memory:
// `staging` is kept from tensor to tensor.
absl::Status LoadTensor(const model::Checkpoint& checkpoint, const model::TensorSource& tensor, DType dtype,
                        DeviceMemory& memory, const DeviceSpan& destination, std::vector<std::byte>& staging,
                        int64_t* next, const LoadProgress& progress) {
  const int64_t rows = tensor.shape.empty() ? 1 : tensor.shape.front();
  int64_t row_bytes = SizeOf(dtype);
  for (size_t i = 1; i < tensor.shape.size(); ++i) row_bytes *= tensor.shape[i];
  const int64_t chunk_rows = std::max<int64_t>(1, kStagingBytes / row_bytes);
  int64_t told = *next;
  for (int64_t row = 0; row < rows; row += chunk_rows) {
    const int64_t count = std::min(chunk_rows, rows - row);
    const auto bytes = static_cast<size_t>(count * row_bytes);
    if (staging.size() < bytes) staging.resize(bytes);
    const std::span<std::byte> chunk = std::span(staging).first(bytes);
    HEADROOM_RETURN_IF_ERROR(checkpoint.ReadRowsAs(tensor.name, row, count, dtype, chunk));
    HEADROOM_RETURN_IF_ERROR(memory.WriteSoon(chunk, destination.data + *next));
    *next += count * row_bytes;
    const bool last = row + count == rows;
    if (!progress || (!last && *next - told + chunk_rows * row_bytes <= kLoadChunkBytes)) continue;
    told = *next;
    HEADROOM_RETURN_IF_ERROR(progress(*next));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<WeightLayout> WeightLayout::Make(const model::ModelSpec& spec, DType compute, int64_t positions) {
  if (compute != DType::kF32 && compute != DType::kBF16) {
    return absl::InvalidArgumentError(
        absl::StrCat("weights: not supported: ", DTypeName(compute), " (only fp32, bf16)"));
  }
  WeightLayout layout;
  layout.compute_ = compute;
  layout.inverse_frequencies_ = model::RopeInverseFrequencies(spec.llm.rope, spec.llm.head_dim, positions);
  layout.held_ = spec.tensors;
  for (const model::TensorSpec& held : layout.held_) {
    if (held.count != 1 || held.format.quantized()) {
      return absl::InvalidArgumentError(absl::StrCat("weights: not supported: ", held.count, " of ",
                                                     WeightFormatName(held.format, compute), ", ", held.name));
    }
    const bool full = held.format.kind == model::WeightFormat::Kind::kF32;
    WeightRegion region{.part = held.part, .dtype = full ? DType::kF32 : compute, .rows = held.rows, .cols = held.cols};
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

absl::Status WeightLayout::Load(const model::Checkpoint& checkpoint, model::WeightPart part, DeviceMemory& memory,
                                DeviceSpan destination, const LoadProgress& progress) const {
  HEADROOM_CHECK(destination.bytes == Bytes(part))
      << model::WeightPartName(part) << " weights: memory of " << destination.bytes << " for " << Bytes(part);
  std::vector<std::byte> staging;
  for (const model::TensorSpec& held : held_) {
    if (held.part != part) continue;
    const WeightRegion& region = (*this)[held.name];
    int64_t next = region.offset;
    for (const model::TensorSource& source : held.sources) {
      HEADROOM_RETURN_IF_ERROR(
          LoadTensor(checkpoint, source, region.dtype, memory, destination, staging, &next, progress));
    }
    if (held.name != "llm.rope.inv_freq") continue;
    HEADROOM_RETURN_IF_ERROR(
        memory.WriteSoon(std::as_bytes(std::span(inverse_frequencies_)), destination.data + region.offset));
  }
  HEADROOM_RETURN_IF_ERROR(memory.Finish());
  checkpoint.DropCached();
  return absl::OkStatus();
}

}  // namespace headroom::memory
