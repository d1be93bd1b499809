// Rotary position embedding: which elements of a head turn, and by which angles.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "common/status.h"
#include "runtime/device.h"
#include "runtime/matrix.h"

namespace headroom::runtime {

inline constexpr size_t kRopeAxesMax = 4;

// The first 2n elements of a head turn in n pairs: pair i is (x[i], x[i + n]) (NeoX), or (x[2i], x[2i + 1]) where
// `neighbours`; the others stay. With a = float32(position · inv_freq[i]), (x, y) becomes
//   (x·cos(a) − y·sin(a), y·cos(a) + x·sin(a)).
// The angle is rounded to float32 before the sine, as the reference does.
struct RopeArgs {
  Matrix q;                                   // [T, heads · head_dim] f32, in place
  int64_t heads = 0;                          // ≥ 1
  DeviceArray<const int32_t> positions = {};  // [T, axes]; CheckPositions holds
  DeviceArray<const float> inv_freq = {};     // [n], 2n ≤ head_dim
  // Pairs that turn by each axis of a position, in order; n together. All 0: there is one axis.
  std::array<int32_t, kRopeAxesMax> sections = {};
  bool neighbours = false;

  constexpr int64_t axes() const {
    int64_t count = 0;
    for (const int32_t pairs : sections) count += pairs > 0 ? 1 : 0;
    return count == 0 ? 1 : count;
  }
  // Pair i turns by the first axis whose end is above i.
  constexpr std::array<int32_t, kRopeAxesMax> section_ends() const {
    std::array<int32_t, kRopeAxesMax> ends = {};
    int32_t end = 0;
    for (size_t axis = 0; axis < kRopeAxesMax; ++axis) ends[axis] = end += sections[axis];
    if (end == 0) ends.fill(static_cast<int32_t>(inv_freq.size));
    return ends;
  }
};

// INVALID_ARGUMENT on shapes or dtypes; T = 0 does nothing.
absl::Status Rope(Device& device, const RopeArgs& args);

// The same checks, for operations that turn on the way. Heads are of `head_dim`.
absl::Status CheckRope(const char* op, const RopeArgs& rope, int64_t rows, int64_t head_dim);

// For who builds them, on the host: INVALID_ARGUMENT when a position is negative.
absl::Status CheckPositions(std::span<const int32_t> positions);

}  // namespace headroom::runtime
