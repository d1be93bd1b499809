// Rotary embedding of the heads of one row after another (ops/rope.h).
#pragma once

#include <array>
#include <cstdint>

#include "runtime/cpu/context.h"
#include "runtime/ops/rope.h"

namespace headroom::runtime::cpu {

inline constexpr int64_t kHeadDimMax = 512;  // ops/check.h refuses more

// `context` must outlive it.
class Rotation {
 public:
  Rotation(const Context& context, const RopeArgs& rope);

  void Set(int64_t row);         // of the step: the angles of its position
  void Turn(float* head) const;  // in place

 private:
  const Kernels& kernels_;
  const int32_t* const positions_;
  const float* const inv_freq_;
  const int64_t pairs_, axes_;
  const std::array<int32_t, kRopeAxesMax> ends_;
  const bool neighbours_;
  float cos_[kHeadDimMax / 2];
  float sin_[kHeadDimMax / 2];
};

}  // namespace headroom::runtime::cpu
