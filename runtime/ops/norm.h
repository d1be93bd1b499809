// LayerNorm and RmsNorm over rows of the f32 residual stream. Statistics in f32 (one pass for the mean, one for the
// squares).
#pragma once

#include "common/status.h"
#include "runtime/device.h"
#include "runtime/matrix.h"

namespace headroom::runtime {

struct LayerNormArgs {
  ConstMatrix x;                       // [M,D] f32
  DeviceArray<const float> gain = {};  // [D]
  DeviceArray<const float> bias = {};  // [D] or none
  float eps = 1e-6f;
  Matrix y;  // [M,D] f32 | bf16; may be x itself when f32
};

// y = (x − mean) / sqrt(variance + eps) · gain + bias, variance over D. INVALID_ARGUMENT on shapes or dtypes.
absl::Status LayerNorm(Device& device, const LayerNormArgs& args);

struct RmsNormArgs {
  ConstMatrix x;                       // [M,groups·D] f32
  DeviceArray<const float> gain = {};  // [D]
  float eps = 1e-6f;
  int64_t groups = 1;       // parts of a row, each with a norm of its own: heads
  bool accumulate = false;  // y += …, for y in f32 that is not x
  Matrix y;                 // [M,groups·D] f32 | bf16; may be x itself when f32
};

// y = x / sqrt(mean(x²) + eps) · gain, mean over D. INVALID_ARGUMENT on shapes or dtypes.
absl::Status RmsNorm(Device& device, const RmsNormArgs& args);

}  // namespace headroom::runtime
