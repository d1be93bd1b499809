// Rotary position embedding in the half-split (NeoX) form, in place.
#pragma once

#include <cstdint>
#include <span>

#include "common/status.h"
#include "runtime/device.h"
#include "runtime/matrix.h"

namespace headroom::runtime {

struct RopeArgs {
  Matrix x;                                   // [M, heads · head_dim] f32, in place
  DeviceArray<const int32_t> positions = {};  // [M], ≥ 0
  DeviceArray<const float> inv_freq = {};     // [head_dim / 2]: theta^(−2i / head_dim)
  int64_t heads = 0;
};

// For each head and i < head_dim/2, with a = float32(position · inv_freq[i]):
//   x[i] = x[i]·cos(a) − x[i + head_dim/2]·sin(a);  x[i + head_dim/2] = x[i + head_dim/2]·cos(a) + x[i]·sin(a).
// The angle is rounded to float32 before the sine, as the reference does. INVALID_ARGUMENT on shapes.
absl::Status Rope(Device& device, const RopeArgs& args);

// For who builds positions, on the host: INVALID_ARGUMENT when one is negative.
absl::Status CheckPositions(std::span<const int32_t> positions);

}  // namespace headroom::runtime
