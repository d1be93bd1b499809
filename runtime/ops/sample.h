// Sample: rows of logits and the sampling parameters of their requests → the next tokens.
//
// Order of the steps; temperature, top_k, top_p and min_p as in Hugging Face transformers, penalties as in vLLM:
//   measure: what log softmax of the token and of the likeliest ones needs, of the logits as the model gave them.
//   repetition penalty r: the logit of every id that was seen is divided by r where positive and multiplied by r where
//     negative, once however often the id was seen.
//   changes: what is added to the logit of single ids (bias, presence and frequency penalty), or that takes them out
//     (stop ids before min_tokens).
//   allowed: ids without a bit are out. Rows of padding of a vocabulary always are.
//   temperature t: logits are divided by t. 0 means greedy: the largest logit, the lowest id among equals.
//   top_k: the k largest logits stay (among equals the lower ids); 0 means all.
//   top_p: of those, the smallest set of most likely tokens whose probability reaches top_p stays; at least one.
//   min_p: of those, tokens stay that are at least min_p times as likely as the likeliest; 0 means all.
//   draw: inverse of the cumulative distribution, by id, at noise that is a pure function of (seed, choice, position).
//
// sample_math.h has the noise and the weights, the same bits on every device: a request gives the same answer whoever
// shares its batch, on any device that computes the same logits, and when it moves to another worker in the middle.
#pragma once

#include <cstdint>

#include "common/status.h"
#include "runtime/device.h"
#include "runtime/matrix.h"

namespace headroom::runtime {

struct Sampling {
  float temperature = 1.0f;         // 0 … 100
  float top_p = 1.0f;               // above 0, up to 1
  int32_t top_k = 0;                // ≥ 0
  float repetition_penalty = 1.0f;  // above 0, up to 100
  float min_p = 0.0f;               // 0 … 1
  uint64_t seed = 0;
};

// INVALID_ARGUMENT with the value and the limit; NaN is never within a limit.
absl::Status CheckSampling(const Sampling& sampling);

// What is added to the logit of one id. −infinity: the id is not drawn.
struct LogitChange {
  int32_t id = 0;
  float delta = 0;  // finite up to 1e6 either way, or −infinity
};

inline constexpr int32_t kAlternativesMax = 20;

// One row.
struct SampleRow {
  Sampling sampling = {};  // CheckSampling holds
  uint64_t position = 0;   // of the token in the answer, 0-based
  uint32_t choice = 0;
  int32_t seen = 0;          // row of SampleArgs::seen
  int32_t allowed = 0;       // row of SampleArgs::allowed
  int32_t first_change = 0;  // in SampleArgs::changes; ids of one row differ
  int32_t changes = 0;
  int32_t token = -1;         // not −1: it is there already and only measured, as the model gave it
  int32_t alternatives = -1;  // −1: nothing is measured; else how many of the likeliest are told
};

// Words of 32 bits that hold a bit for each id of a vocabulary; id i is bit i % 32 of word i / 32.
constexpr int64_t SeenWords(int64_t vocab_size) { return (vocab_size + 31) / 32; }

// What SampleArgs::tokens holds instead of a token. A logit is NaN or infinite: the model or its input is broken, and
// any token would be a lie.
inline constexpr int32_t kNotFinite = -1;
// No id is left that may be drawn.
inline constexpr int32_t kNoneAllowed = -2;

// Of the logits as the model gave them, padding of the vocabulary included.
struct LogitMeasure {
  uint64_t total = 0;  // sum of Weight(logit, largest, 1)
  float largest = 0;
  float logit = 0;  // of the token
};
struct Alternative {
  int32_t id = -1;  // −1: there is none
  float logit = 0;
};
// ln softmax of a logit of that row, within 1e-6.
double Logprob(float logit, const LogitMeasure& measure, int64_t vocab_size);

// Scratch that sampling takes for rows of so many logits.
constexpr int64_t SampleScratchBytes(int64_t vocab_size) { return 8 * vocab_size; }

struct SampleArgs {
  Matrix logits = {};                        // [M,V] f32; changed in place
  DeviceArray<const SampleRow> rows = {};    // [M]
  DeviceArray<uint32_t> seen = {};           // [any, SeenWords(V)]: ids that the repetition penalty applies to; bits of
                                             // changed ids are cleared. Not read for rows whose penalty is 1
  DeviceArray<LogitChange> changes = {};     // of all rows; each delta becomes the logit before
  DeviceArray<const uint32_t> allowed = {};  // [any, SeenWords(V)], of which row 0 is the vocabulary; none: all ids
  DeviceArray<int32_t> tokens = {};          // [M]
  DeviceArray<LogitMeasure> measured = {};   // [M], or none where no row asks
  DeviceArray<Alternative> alternatives =
      {};                   // [M, kAlternativesMax], likewise; the likeliest first, row 0's ids alone
  DeviceSpan scratch = {};  // SampleScratchBytes(V), 64-byte aligned
};

// INVALID_ARGUMENT on shapes, dtypes or too little scratch. M = 0 does nothing.
absl::Status Sample(Device& device, const SampleArgs& args);

}  // namespace headroom::runtime
