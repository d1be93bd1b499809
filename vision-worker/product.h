// y = x·Wᵀ (+ b), with the weights of an encoder.
#pragma once

#include <string>

#include "runtime/matrix.h"
#include "runtime/ops/linear.h"
#include "runtime/step.h"
#include "worker/views.h"

namespace headroom::vision_worker {

struct Product {
  runtime::ConstMatrix weight;
  runtime::DeviceArray<const float> bias;  // or null
};

// NAME.weight and, where there is one, NAME.bias.
inline Product ProductOf(const worker::WeightViews& weights, const std::string& name) {
  return {weights[name + ".weight"], weights.OptionalVector(name + ".bias")};
}

// `scratch` as PrepareLinear() asked for. `accumulate`: y += …
inline void Multiply(runtime::Step& step, const runtime::Matrix& x, const Product& product, const runtime::Matrix& y,
                     runtime::DeviceSpan scratch, bool accumulate = false) {
  step.Linear(
      {.x = x, .weight = product.weight, .bias = product.bias, .y = y, .accumulate = accumulate, .scratch = scratch});
}

}  // namespace headroom::vision_worker
