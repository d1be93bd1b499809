// Activations and conversions, row by row. Every view may be strided. INVALID_ARGUMENT on shapes or dtypes; M = 0 does
// nothing.
#pragma once

#include "common/status.h"
#include "runtime/device.h"
#include "runtime/matrix.h"

namespace headroom::runtime {

// y[M,N] (f32 | bf16) = gelu(x[M,N] f32), the tanh form: 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))).
// y may be x itself when f32.
struct GeluTanhArgs {
  ConstMatrix x;
  Matrix y;
};
absl::Status GeluTanh(Device& device, const GeluTanhArgs& args);

// The exact form: 0.5·x·(1 + erf(x / √2)).
struct GeluErfArgs {
  ConstMatrix x;
  Matrix y;
};
absl::Status GeluErf(Device& device, const GeluErfArgs& args);

// y[M,I] (f32 | bf16) = silu(gate) · up, where gate_up [M,2I] f32 holds gate in its first I columns and up in the
// others.
struct SiluMulArgs {
  ConstMatrix gate_up;
  Matrix y;
};
absl::Status SiluMul(Device& device, const SiluMulArgs& args);

// y[M,N] = x[M,N] between f32 and bf16 (round to nearest even; NaN stays NaN), or a copy where both are of one dtype.
struct ConvertArgs {
  ConstMatrix x;
  Matrix y;
};
absl::Status Convert(Device& device, const ConvertArgs& args);

// found[g] = 1 when one of the rows [g · group, (g + 1) · group) of x [M,N] f32 holds a NaN or an infinity, else 0.
struct FindNonFiniteArgs {
  ConstMatrix x;
  int64_t group = 0;                // rows; M is a multiple of it
  DeviceArray<int32_t> found = {};  // [M / group]
};
absl::Status FindNonFinite(Device& device, const FindNonFiniteArgs& args);

}  // namespace headroom::runtime
