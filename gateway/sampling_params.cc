#include "gateway/sampling_params.h"

#include <algorithm>

#include "common/random.h"
#include "gateway/out_of_range.h"

namespace headroom::gateway {
namespace {

constexpr float kTemperatureMax = 2;
constexpr float kRepetitionPenaltyMax = 2;
constexpr int kTopKMax = 1 << 20;

}  // namespace

absl::StatusOr<v1::TokenSampling> ResolveSampling(const v1::Sampling& asked,
                                                  const model::GenerationDefaults& defaults) {
  v1::TokenSampling sampling;
  sampling.set_temperature(asked.has_temperature()
                               ? asked.temperature()
                               : std::min(static_cast<float>(defaults.temperature.value_or(1)), kTemperatureMax));
  sampling.set_top_p(asked.has_top_p() ? asked.top_p() : static_cast<float>(defaults.top_p.value_or(1)));
  sampling.set_top_k(asked.has_top_k() ? asked.top_k() : static_cast<int32_t>(defaults.top_k.value_or(0)));
  sampling.set_repetition_penalty(
      asked.has_repetition_penalty()
          ? asked.repetition_penalty()
          : std::min(static_cast<float>(defaults.repetition_penalty.value_or(1)), kRepetitionPenaltyMax));
  sampling.set_seed(asked.has_seed() ? asked.seed() : SystemRandom().Next() >> 1);  // fits a signed integer, too
  // What clients write for "off", from the defaults of other servers.
  if (sampling.top_k() == -1) sampling.set_top_k(0);
  // Written so that NaN fails.
  if (!(sampling.temperature() >= 0 && sampling.temperature() <= kTemperatureMax)) {
    return OutOfRange("temperature", sampling.temperature(), "in [0, 2]");
  }
  if (!(sampling.top_p() > 0 && sampling.top_p() <= 1)) return OutOfRange("top_p", sampling.top_p(), "in (0, 1]");
  if (sampling.top_k() < 0 || sampling.top_k() > kTopKMax) {
    return OutOfRange("top_k", sampling.top_k(), absl::StrCat("in [-1, ", kTopKMax, "]"));
  }
  if (!(sampling.repetition_penalty() > 0 && sampling.repetition_penalty() <= kRepetitionPenaltyMax)) {
    return OutOfRange("repetition_penalty", sampling.repetition_penalty(), "in (0, 2]");
  }
  return sampling;
}

}  // namespace headroom::gateway
