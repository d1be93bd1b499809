#include "runtime/ops/sample.h"

#include <array>

#include "runtime/backend.h"
#include "runtime/ops/check.h"

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
  if (sampling.top_k < 0) {
    return absl::InvalidArgumentError(absl::StrCat("top_k ", sampling.top_k, " is negative (0 switches it off)"));
  }
  if (!(sampling.repetition_penalty > 0.0f && sampling.repetition_penalty <= kRepetitionPenaltyMax)) {
    return absl::InvalidArgumentError(absl::StrCat("repetition_penalty ", sampling.repetition_penalty,
                                                   " is not above 0 and at most ", kRepetitionPenaltyMax));
  }
  return absl::OkStatus();
}

double Noise(uint64_t seed, uint32_t choice, uint64_t position) {
  std::array<uint32_t, 4> x = {static_cast<uint32_t>(position), static_cast<uint32_t>(position >> 32), choice, 0};
  uint32_t key_low = static_cast<uint32_t>(seed), key_high = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * x[0];
    const uint64_t b = uint64_t{0xCD9E8D57} * x[2];
    x = {static_cast<uint32_t>(b >> 32) ^ x[1] ^ key_low, static_cast<uint32_t>(b),
         static_cast<uint32_t>(a >> 32) ^ x[3] ^ key_high, static_cast<uint32_t>(a)};
    key_low += 0x9E3779B9;
    key_high += 0xBB67AE85;
  }
  const uint64_t bits = (uint64_t{x[1]} << 32 | x[0]) >> 11;
  return static_cast<double>(bits) * 0x1p-53;
}

absl::Status Sample(Device& device, const SampleArgs& args) {
  constexpr char kOp[] = "Sample";
  HEADROOM_RETURN_IF_ERROR(CheckView(kOp, "logits", args.logits, {DType::kF32}));
  HEADROOM_RETURN_IF_ERROR(CheckArray(kOp, "rows", args.rows, args.logits.rows));
  HEADROOM_RETURN_IF_ERROR(CheckArray(kOp, "seen", args.seen, args.logits.rows * SeenWords(args.logits.cols)));
  HEADROOM_RETURN_IF_ERROR(CheckArray(kOp, "tokens", args.tokens, args.logits.rows));
  HEADROOM_RETURN_IF_ERROR(CheckScratch(kOp, args.scratch, SampleScratchBytes(args.logits.cols)));
  return device.backend().Run(args);
}

}  // namespace headroom::runtime
