#include "llm-worker/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "common/check.h"

namespace headroom::llm_worker {
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

Sampler::Sampler(int64_t vocab_size) : vocab_size_(vocab_size) {
  HEADROOM_CHECK(vocab_size >= 1) << "vocabulary of " << vocab_size;
  candidates_.reserve(static_cast<size_t>(vocab_size));
  penalized_.assign(static_cast<size_t>(vocab_size), false);
}

absl::StatusOr<int32_t> Sampler::Sample(std::span<const float> logits, const Sampling& sampling,
                                        std::span<const int32_t> seen, uint32_t choice, uint64_t position) {
  HEADROOM_RETURN_IF_ERROR(CheckSampling(sampling));
  HEADROOM_RETURN_IF_ERROR(Collect(logits, sampling.repetition_penalty, seen));
  if (sampling.temperature == 0.0f) return std::max_element(candidates_.begin(), candidates_.end(), Less)->id;
  KeepTopK(sampling.top_k);
  return Draw(sampling.temperature, sampling.top_p, Noise(sampling.seed, choice, position));
}

// Fills candidates_ with every id and its penalized logit.
absl::Status Sampler::Collect(std::span<const float> logits, float penalty, std::span<const int32_t> seen) {
  if (static_cast<int64_t>(logits.size()) != vocab_size_) {
    return absl::InvalidArgumentError(absl::StrCat(logits.size(), " logits for a vocabulary of ", vocab_size_));
  }
  candidates_.clear();
  for (int32_t id = 0; id < vocab_size_; ++id) {
    if (!std::isfinite(logits[id])) return absl::InternalError(absl::StrCat("logit of token ", id, " is not finite"));
    candidates_.push_back({logits[id], id});
  }
  if (penalty == 1.0f) return absl::OkStatus();

  absl::Status status = absl::OkStatus();
  for (const int32_t id : seen) {
    if (id < 0 || id >= vocab_size_) {
      status = absl::InvalidArgumentError(absl::StrCat("token id ", id, " outside a vocabulary of ", vocab_size_));
      break;
    }
    if (penalized_[id]) continue;
    penalized_[id] = true;
    float& logit = candidates_[id].logit;
    // The limit on the penalty keeps finite logits of any sane model finite; the clamp keeps the others so.
    logit = std::clamp(logit > 0 ? logit / penalty : logit * penalty, -3e38f, 3e38f);
  }
  for (const int32_t id : seen) {
    if (id >= 0 && id < vocab_size_) penalized_[id] = false;
  }
  return status;
}

void Sampler::KeepTopK(int32_t top_k) {
  if (top_k == 0 || top_k >= static_cast<int64_t>(candidates_.size())) return;
  const auto greater = [](const Candidate& a, const Candidate& b) { return Less(b, a); };
  std::nth_element(candidates_.begin(), candidates_.begin() + top_k, candidates_.end(), greater);
  candidates_.resize(static_cast<size_t>(top_k));
  // nth_element leaves an order that the standard does not fix; the sums below must not depend on it.
  std::sort(candidates_.begin(), candidates_.end(), [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
}

int32_t Sampler::Draw(float temperature, float top_p, double noise) {
  const double largest = std::max_element(candidates_.begin(), candidates_.end(), Less)->logit;
  const auto weight = [&](const Candidate& c) { return std::exp((c.logit - largest) / temperature); };
  double total = 0;
  for (const Candidate& c : candidates_) total += weight(c);

  auto begin = candidates_.begin(), end = candidates_.end();
  if (top_p < 1.0f) {
    // A heap gives the most likely first without sorting the tail, which is most of the vocabulary.
    std::make_heap(begin, end, Less);
    const double wanted = top_p * total;
    double kept = 0;
    auto heap_end = end;
    do {
      std::pop_heap(begin, heap_end, Less);
      kept += weight(*--heap_end);
    } while (kept < wanted && heap_end != begin);
    begin = heap_end;
    total = kept;
  }

  double left = noise * total;
  for (auto c = begin; c != end; ++c) {
    left -= weight(*c);
    if (left < 0) return c->id;
  }
  // Rounding of the running sum may leave a crumb: it belongs to the most likely token.
  return std::max_element(begin, end, Less)->id;
}

}  // namespace headroom::llm_worker
