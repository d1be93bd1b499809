#include "runtime/ops/sample.h"

#include <cmath>

#include "runtime/backend.h"
#include "runtime/ops/check.h"
#include "runtime/ops/sample_math.h"

namespace headroom::runtime {
namespace {

constexpr float kTemperatureMax = 100.0f;
constexpr float kRepetitionPenaltyMax = 100.0f;

}  // namespace

absl::Status CheckSampling(const Sampling& sampling) {
  if (!(sampling.temperature >= 0.0f && sampling.temperature <= kTemperatureMax)) {
    return absl::InvalidArgumentError(
        absl::StrCat("temperature ", sampling.temperature, " is not between 0 and ", kTemperatureMax));
  }
  if (!(sampling.top_p > 0.0f && sampling.top_p <= 1.0f)) {
    return absl::InvalidArgumentError(absl::StrCat("top_p ", sampling.top_p, " is not above 0 and at most 1"));
  }
  if (!(sampling.min_p >= 0.0f && sampling.min_p <= 1.0f)) {
    return absl::InvalidArgumentError(absl::StrCat("min_p ", sampling.min_p, " is not between 0 and 1"));
  }
  if (sampling.top_k < 0) {
    return absl::InvalidArgumentError(absl::StrCat("top_k ", sampling.top_k, " is negative (0 switches it off)"));
  }
  if (!(sampling.repetition_penalty > 0.0f && sampling.repetition_penalty <= kRepetitionPenaltyMax)) {
    return absl::InvalidArgumentError(absl::StrCat("repetition_penalty ", sampling.repetition_penalty,
                                                   " is not above 0 and at most ", kRepetitionPenaltyMax));
  }
  return absl::OkStatus();
}

double Logprob(float logit, const LogitMeasure& measure, int64_t vocab_size) {
  return double{logit} - double{measure.largest} -
         std::log(std::ldexp(static_cast<double>(measure.total), -UnitBits(vocab_size)));
}

absl::Status Sample(Device& device, const SampleArgs& args) {
  constexpr char kOp[] = "Sample";
  HEADROOM_RETURN_IF_ERROR(CheckView(kOp, "logits", args.logits, {DType::kF32}));
  HEADROOM_RETURN_IF_ERROR(CheckArray(kOp, "rows", args.rows, args.logits.rows));
  const int64_t words = SeenWords(args.logits.cols);
  // How many rows they have is known to whoever made SampleRow::seen and SampleRow::allowed.
  HEADROOM_RETURN_IF_ERROR(CheckArray(kOp, "seen", args.seen, args.seen.size / words * words));
  HEADROOM_RETURN_IF_ERROR(CheckArray(kOp, "allowed", args.allowed, args.allowed.size / words * words));
  HEADROOM_RETURN_IF_ERROR(CheckArray(kOp, "changes", args.changes, args.changes.size));
  if (args.measured.size > 0 || args.alternatives.size > 0) {
    HEADROOM_RETURN_IF_ERROR(CheckArray(kOp, "measured", args.measured, args.logits.rows));
    HEADROOM_RETURN_IF_ERROR(CheckArray(kOp, "alternatives", args.alternatives, args.logits.rows * kAlternativesMax));
  }
  HEADROOM_RETURN_IF_ERROR(CheckArray(kOp, "tokens", args.tokens, args.logits.rows));
  HEADROOM_RETURN_IF_ERROR(CheckScratch(kOp, args.scratch, SampleScratchBytes(args.logits.cols)));
  return device.backend().Run(args);
}

}  // namespace headroom::runtime
