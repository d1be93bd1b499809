// Where each weight lies inside the memory of its part (vision, resampler, llm, head), and the loader that fills it.
// The plan prices the weights with the same layout.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/dtype.h"
#include "memory/component.h"
#include "memory/device_memory.h"
#include "model/checkpoint.h"
#include "model/spec.h"
#include "model/tensor_spec.h"

namespace headroom::memory {

Component WeightComponent(model::WeightPart part);

// Called with the bytes placed so far, after every kLoadChunkBytes (or row) at the latest and on the thread that loads.
// An error ends the load, which returns it.
using LoadProgress = std::function<absl::Status(int64_t bytes)>;
inline constexpr int64_t kLoadChunkBytes = int64_t{8} << 20;
// For the second of two parts: counts on from the bytes of the first.
LoadProgress After(int64_t bytes_before, LoadProgress progress);

struct WeightRegion {
  model::WeightPart part = model::WeightPart::kLlm;
  DType dtype = DType::kF32;
  int64_t rows = 0, cols = 0;  // row-major, no padding between rows
  int64_t offset = 0;          // in the memory of the part; multiple of 64
  int64_t bytes = 0;
};

class WeightLayout {
 public:
  // compute: kF32 or kBF16. positions: the longest sequence that will be served (max_model_len).
  static absl::StatusOr<WeightLayout> Make(const model::ModelSpec& spec, DType compute, int64_t positions);
  WeightLayout() = default;

  // Names as in model/tensor_spec.h. Aborts when there is none: which names exist follows from the config.
  const WeightRegion& operator[](const std::string& name) const;
  bool Has(const std::string& name) const { return regions_.contains(name); }
  // Of the whole part, a multiple of 64.
  int64_t Bytes(model::WeightPart part) const { return bytes_[static_cast<int>(part)]; }
  DType compute() const { return compute_; }

  // Streams all tensors of one part from the checkpoint into `destination` (Bytes(part) bytes of `memory`), converting
  // as it reads, and fills llm.rope.inv_freq. `progress` may be empty.
  absl::Status Load(const model::Checkpoint& checkpoint, model::WeightPart part, DeviceMemory& memory,
                    DeviceSpan destination, const LoadProgress& progress = {}) const;

 private:
  DType compute_ = DType::kBF16;
  std::vector<float> inverse_frequencies_;  // llm.rope.inv_freq
  std::vector<model::TensorSpec> held_;
  std::map<std::string, WeightRegion> regions_;
  std::array<int64_t, model::kWeightParts> bytes_{};
};

}  // namespace headroom::memory
