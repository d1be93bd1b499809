// Sine and cosine together. For kernels alone.
#pragma once

#include <cstdint>

namespace headroom::runtime::cuda {

struct SinCos {
  float sin, cos;
};

// Of any f32 angle. CUDA's own sine would do, but for a table in local memory: a stack frame, reserved for every thread
// that the card can hold. So the angle is brought to [−π/4, π/4] in f64, which is exact enough up to 2^31, and Taylor's
// polynomials do the rest, within an ulp or so of f32.
__device__ inline SinCos SinCosOf(float angle) {
  const double turns = rint(angle * 0.63661977236758134308);  // quarter turns: 2/π
  const double rest = fma(-turns, 6.123233995736766036e-17, fma(-turns, 1.5707963267948966192, double{angle}));
  const auto x = static_cast<float>(rest);
  const float x2 = x * x;
  const float sin = x + x * x2 * (-1.0f / 6 + x2 * (1.0f / 120 + x2 * (-1.0f / 5040 + x2 * (1.0f / 362880))));
  const float cos =
      1.0f + x2 * (-0.5f + x2 * (1.0f / 24 + x2 * (-1.0f / 720 + x2 * (1.0f / 40320 - x2 * (1.0f / 3628800)))));
  const auto quarter = static_cast<unsigned>(static_cast<int64_t>(turns)) % 4;
  const float first = quarter % 2 == 0 ? sin : cos, second = quarter % 2 == 0 ? cos : sin;
  return {quarter < 2 ? first : -first, quarter == 0 || quarter == 3 ? second : -second};
}

}  // namespace headroom::runtime::cuda
