#include "gateway/sampling_params.h"

#include <algorithm>
#include <utility>

#include "common/random.h"
#include "gateway/out_of_range.h"
#include "model/request_limits.h"

namespace headroom::gateway {
namespace {

constexpr float kTemperatureMax = 2;
constexpr float kRepetitionPenaltyMax = 2;
constexpr int kTopKMax = 1 << 20;
constexpr float kPenaltyMax = 2;
constexpr float kBiasMax = 100;

// What no model has defaults for.
absl::Status AddPenalties(const v1::Sampling& asked, int64_t vocab_size, v1::TokenSampling* sampling) {
  if (!(asked.min_p() >= 0 && asked.min_p() <= 1)) return OutOfRange("min_p", asked.min_p(), "in [0, 1]");
  sampling->set_min_p(asked.min_p());
  for (const auto& [field, value] : {std::pair("presence_penalty", asked.presence_penalty()),
                                     std::pair("frequency_penalty", asked.frequency_penalty())}) {
    if (!(value >= -kPenaltyMax && value <= kPenaltyMax)) return OutOfRange(field, value, "in [-2, 2]");
  }
  sampling->set_presence_penalty(asked.presence_penalty());
  sampling->set_frequency_penalty(asked.frequency_penalty());
  if (asked.logit_bias_size() > model::kLogitBiasMax) {
    return OutOfRange("the number of ids in logit_bias", asked.logit_bias_size(),
                      absl::StrCat("at most ", model::kLogitBiasMax));
  }
  for (const auto& [id, bias] : asked.logit_bias()) {
    HEADROOM_RETURN_IF_ERROR(CheckTokenId("logit_bias", id, vocab_size));
    if (!(bias >= -kBiasMax && bias <= kBiasMax)) return OutOfRange("logit_bias", bias, "in [-100, 100]");
  }
  *sampling->mutable_logit_bias() = asked.logit_bias();
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckTokenId(const char* field, int32_t id, int64_t vocab_size) {
  if (id >= 0 && id < vocab_size) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": id ", id, " is not in the vocabulary; it must be in [0, ", vocab_size - 1, "]"));
}

absl::StatusOr<v1::TokenSampling> ResolveSampling(const v1::Sampling& asked, const model::ModelSpec& model) {
  const model::GenerationDefaults& defaults = model.generation;
  v1::TokenSampling sampling;
  HEADROOM_RETURN_IF_ERROR(AddPenalties(asked, model.llm.vocab_size, &sampling));
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
