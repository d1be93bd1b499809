// Rows picked out of a table by index. INVALID_ARGUMENT on shapes, dtypes, or an index outside the table (nothing is
// written then); M = 0 does nothing.
#pragma once

#include <cstdint>
#include <span>

#include "common/status.h"
#include "runtime/device.h"
#include "runtime/matrix.h"

namespace headroom::runtime {

// y[M,D] f32 = table[ids[m]]; table [V,D] f32 | bf16. The token embedding.
struct EmbeddingGatherArgs {
  std::span<const int32_t> ids;  // [M]
  ConstMatrix table;
  Matrix y;
};
absl::Status EmbeddingGather(Device& device, const EmbeddingGatherArgs& args);

// y[M,D] f32 += table[index[m]]; table [R,D] f32 | bf16. Learned position rows.
struct AddGatheredArgs {
  std::span<const int32_t> index;  // [M]
  ConstMatrix table;
  Matrix y;
};
absl::Status AddGathered(Device& device, const AddGatheredArgs& args);

}  // namespace headroom::runtime
