#include "model/rope.h"

#include <algorithm>
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

// Pairs [low, high] are mixed: those before stay, those after are stretched.
struct YarnRange {
  double low = 0, high = 0;
};

YarnRange MixedPairs(const Rope& rope, int64_t rotary_dim) {
  const RopeScaling& scaling = rope.scaling;
  const auto dim = static_cast<double>(rotary_dim);
  // The pair that turns so often in the original context.
  const auto pair = [&](double turns) {
    return dim * std::log(static_cast<double>(scaling.original_positions) / (turns * 2 * std::numbers::pi)) /
           (2 * std::log(rope.theta));
  };
  YarnRange range{pair(scaling.beta_fast), pair(scaling.beta_slow)};
  if (scaling.truncate) range = {std::floor(range.low), std::ceil(range.high)};
  range = {std::max(range.low, 0.0), std::min(range.high, dim - 1)};
  constexpr double kNotZero = 0.001;
  if (range.low == range.high) range.high += kNotZero;
  return range;
}

float Yarn(float period, int64_t pair, const YarnRange& range, double factor) {
  const auto low = static_cast<float>(range.low), width = static_cast<float>(range.high - range.low);
  const float stretched = std::clamp((static_cast<float>(pair) - low) / width, 0.0f, 1.0f);
  const float kept = 1 - stretched;
  return 1 / (static_cast<float>(factor) * period) * (1 - kept) + 1 / period * kept;
}

}  // namespace

int64_t Rope::Dim(int64_t head_dim) const {
  return std::max<int64_t>(2, 2 * static_cast<int64_t>(part * static_cast<double>(head_dim) / 2));
}

int64_t RopePositions(const RopeScaling& scaling, int64_t positions) {
  constexpr double kPositionsMax = 1 << 24;
  if (scaling.type != RopeScaling::Type::kYarn) return positions;
  const double grown = static_cast<double>(scaling.original_positions) * scaling.factor;
  return std::max(positions, static_cast<int64_t>(std::min(grown, kPositionsMax)));
}

std::vector<float> RopeInverseFrequencies(const Rope& rope, int64_t head_dim, int64_t positions) {
  const int64_t dim = rope.Dim(head_dim);
  using Type = RopeScaling::Type;
  const RopeScaling& scaling = rope.scaling;
  const YarnRange range = scaling.type == Type::kYarn ? MixedPairs(rope, dim) : YarnRange();
  const std::vector<double>& divisors =
      positions > scaling.original_positions ? scaling.long_factors : scaling.short_factors;
  std::vector<float> rates;
  for (int64_t i = 0; i < dim / 2; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(dim);
    const auto period = static_cast<float>(std::pow(rope.theta, static_cast<double>(exponent)));
    switch (scaling.type) {
      case Type::kNone:
      case Type::kOther:
        rates.push_back(1 / period);
        break;
      case Type::kLinear:
        rates.push_back(1 / period / static_cast<float>(scaling.factor));
        break;
      case Type::kLlama3:
        rates.push_back(Llama3(1 / period, scaling));
        break;
      case Type::kYarn:
        rates.push_back(Yarn(period, i, range, scaling.factor));
        break;
      case Type::kLongRope:
        rates.push_back(1 / (static_cast<float>(divisors[static_cast<size_t>(i)]) * period));
        break;
    }
  }
  return rates;
}

}  // namespace headroom::model
