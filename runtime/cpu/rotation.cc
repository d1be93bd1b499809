#include "runtime/cpu/rotation.h"

#include <cmath>

namespace headroom::runtime::cpu {

Rotation::Rotation(const Context& context, const RopeArgs& rope)
    : kernels_(*context.kernels),
      positions_(context.host.Array(rope.positions)),
      inv_freq_(context.host.Array(rope.inv_freq)),
      pairs_(rope.inv_freq.size),
      axes_(rope.axes()),
      ends_(rope.section_ends()),
      neighbours_(rope.neighbours) {}

void Rotation::Set(int64_t row) {
  const int32_t* position = positions_ + row * axes_;
  size_t axis = 0;
  for (int64_t i = 0; i < pairs_; ++i) {
    while (i >= ends_[axis]) ++axis, ++position;
    const float angle = static_cast<float>(*position) * inv_freq_[i];
    cos_[i] = std::cos(angle);
    sin_[i] = std::sin(angle);
  }
}

void Rotation::Turn(float* head) const {
  if (!neighbours_) {
    kernels_.rotate(head, head + pairs_, cos_, sin_, pairs_);
    return;
  }
  for (int64_t i = 0; i < pairs_; ++i) {
    const float x = head[2 * i], y = head[2 * i + 1];
    head[2 * i] = x * cos_[i] - y * sin_[i];
    head[2 * i + 1] = y * cos_[i] + x * sin_[i];
  }
}

}  // namespace headroom::runtime::cpu
