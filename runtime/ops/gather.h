// Rows picked out of a table by index. INVALID_ARGUMENT on shapes or dtypes; M = 0 does nothing.
#pragma once

#include <cstdint>
#include <span>

#include "common/status.h"
#include "runtime/device.h"
#include "runtime/matrix.h"

namespace headroom::runtime {

// y[M,D] f32 = table[ids[m]]; table [V,D] f32 | bf16. The token embedding.
struct EmbeddingGatherArgs {
  DeviceArray<const int32_t> ids = {};  // [M], CheckIndices holds for them
  ConstMatrix table;
  Matrix y;
};
absl::Status EmbeddingGather(Device& device, const EmbeddingGatherArgs& args);

// y[M,D] f32 += table[index[m]]; table [R,D] f32 | bf16. Learned position rows.
struct AddGatheredArgs {
  DeviceArray<const int32_t> index = {};  // [M], CheckIndices holds for it
  ConstMatrix table;
  Matrix y;
};
absl::Status AddGathered(Device& device, const AddGatheredArgs& args);

// For who builds indices, on the host: INVALID_ARGUMENT when one is outside a table of so many rows.
absl::Status CheckIndices(std::span<const int32_t> indices, int64_t rows);

}  // namespace headroom::runtime
