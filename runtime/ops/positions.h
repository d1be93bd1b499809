// Sines and cosines of row and column numbers, as the resampler adds them.
#pragma once

#include "common/status.h"
#include "runtime/device.h"
#include "runtime/matrix.h"

namespace headroom::runtime {

// Row c of table [N,W] f32, W even, becomes sin(c·f_k), then cos(c·f_k), with f_k = 10000^(−k/(W/2)) for
// k = 0 … W/2 − 1; angles in f32 as the reference.
struct SineTableArgs {
  Matrix table;
};

// INVALID_ARGUMENT on shapes or dtypes.
absl::Status SineTable(Device& device, const SineTableArgs& args);

}  // namespace headroom::runtime
