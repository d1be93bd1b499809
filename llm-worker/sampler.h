// Sampler: one row of logits and the sampling parameters of its request → the next token.
//
// Order of the steps, as in Hugging Face transformers: repetition penalty, temperature, top_k, top_p, draw.
//   repetition penalty r: the logit of every id that was seen is divided by r where positive and multiplied by r where
//     negative, once however often the id was seen.
//   temperature t: logits are divided by t. 0 means greedy: the largest logit, the lowest id among equals.
//   top_k: the k largest logits stay (among equals the lower ids); 0 means all.
//   top_p: of those, the smallest set of most likely tokens whose probability reaches top_p stays; at least one.
//   draw: inverse of the cumulative distribution at the noise below.
//
// The noise is a pure function of (seed, choice, position), see Noise(): a request gives the same answer whoever shares
// its batch, on any machine that computes the same logits, and when it moves to another worker in the middle.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/status.h"

namespace headroom::llm_worker {

struct Sampling {
  float temperature = 1.0f;         // 0 … 100
  float top_p = 1.0f;               // above 0, up to 1
  int32_t top_k = 0;                // ≥ 0
  float repetition_penalty = 1.0f;  // above 0, up to 100
  uint64_t seed = 0;
};

// INVALID_ARGUMENT with the value and the limit; NaN is never within a limit.
absl::Status CheckSampling(const Sampling& sampling);

// Uniform in [0, 1), 53 bits: the first two words of Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random
// numbers: as easy as 1, 2, 3; SC 2011) with key = seed and counter = (position low, position high, choice, 0).
double Noise(uint64_t seed, uint32_t choice, uint64_t position);

// Not thread-safe: holds scratch of about 8 bytes a vocabulary entry, allocated once.
class Sampler {
 public:
  explicit Sampler(int64_t vocab_size);

  // `seen`: ids that the repetition penalty applies to, in any order, repeats allowed; ids outside the vocabulary are
  // an error. `position`: index of the token in the answer, 0-based.
  //
  // INVALID_ARGUMENT: sampling outside its limits, row of another length, id outside the vocabulary. INTERNAL: a logit
  // is NaN or infinite, so the model or its input is broken and any token would be a lie.
  absl::StatusOr<int32_t> Sample(std::span<const float> logits, const Sampling& sampling, std::span<const int32_t> seen,
                                 uint32_t choice, uint64_t position);

 private:
  struct Candidate {
    float logit;
    int32_t id;
  };
  static bool Less(const Candidate& a, const Candidate& b) {
    return a.logit < b.logit || (a.logit == b.logit && a.id > b.id);
  }

  absl::Status Collect(std::span<const float> logits, float penalty, std::span<const int32_t> seen);
  void KeepTopK(int32_t top_k);
  int32_t Draw(float temperature, float top_p, double noise);

  const int64_t vocab_size_;
  std::vector<Candidate> candidates_;
  std::vector<bool> penalized_;
};

}  // namespace headroom::llm_worker
