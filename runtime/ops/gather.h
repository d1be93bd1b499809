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

// y[M,D] f32 += Σ weights[m,t]·table[index[m,t]], t < taps; table [R,D] f32 | bf16. Learned position rows, as they are
// or interpolated.
struct AddGatheredArgs {
  DeviceArray<const int32_t> index = {};  // [M, taps], CheckIndices holds for it
  int64_t taps = 1;
  DeviceArray<const float> weights = {};  // [M, taps]; none: there is one tap, and its weight is 1
  ConstMatrix table;
  Matrix y;
};
absl::Status AddGathered(Device& device, const AddGatheredArgs& args);

// y[M/g, g·D] (f32 | bf16) = each g rows of x [M,D] f32 as one, value by value: y[m, c·g + i] = x[m·g + i, c]. The
// input of a convolution over patches that lie below one another, its weight as published.
struct JoinRowsArgs {
  ConstMatrix x;
  Matrix y;
};
absl::Status JoinRows(Device& device, const JoinRowsArgs& args);

// For who builds indices, on the host: INVALID_ARGUMENT when one is outside a table of so many rows.
absl::Status CheckIndices(std::span<const int32_t> indices, int64_t rows);

}  // namespace headroom::runtime
