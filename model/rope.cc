#include "model/rope.h"

#include <cmath>
#include <numbers>

namespace headroom::model {
namespace {

float Llama3(float rate, const RopeScaling& scaling) {
  const auto original = static_cast<float>(scaling.original_positions);
  const auto low = static_cast<float>(scaling.low_freq_factor), high = static_cast<float>(scaling.high_freq_factor);
  const auto factor = static_cast<float>(scaling.factor);
  const float wave = 2 * std::numbers::pi_v<float> / rate;
  if (wave < original / high) return rate;
  if (wave > original / low) return rate / factor;
  const float smooth = (original / wave - low) / (high - low);
  return (1 - smooth) * rate / factor + smooth * rate;
}

}  // namespace

std::vector<float> RopeInverseFrequencies(double theta, int64_t head_dim, const RopeScaling& scaling) {
  std::vector<float> rates;
  for (int64_t i = 0; i < head_dim / 2; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    const float rate = 1.0f / static_cast<float>(std::pow(theta, static_cast<double>(exponent)));
    switch (scaling.type) {
      case RopeScaling::Type::kNone:
        rates.push_back(rate);
        break;
      case RopeScaling::Type::kLinear:
        rates.push_back(rate / static_cast<float>(scaling.factor));
        break;
      case RopeScaling::Type::kLlama3:
        rates.push_back(Llama3(rate, scaling));
        break;
    }
  }
  return rates;
}

}  // namespace headroom::model
