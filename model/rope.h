// The rates of rotary positions, with the scalings that let a model see further than it was first trained to. The
// arithmetic is that of transformers 5, which older files agree with.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/json_fields.h"

namespace headroom::model {

struct RopeScaling {
  enum class Type { kNone, kLinear, kLlama3, kYarn, kLongRope, kOther };
  Type type = Type::kNone;
  double factor = 1;               // by which the context grew
  int64_t original_positions = 0;  // that context before it grew
  // Sines and cosines of both queries and keys are multiplied by this, so that scores are by its square.
  double attention_factor = 1;
  // Of kLlama3: waves longer than original_positions / low_freq_factor are stretched by `factor`, those shorter than
  // original_positions / high_freq_factor stay, and between them both are mixed.
  double low_freq_factor = 1;
  double high_freq_factor = 4;
  // Of kYarn: pairs that turn more than beta_fast times in the original context stay, those that turn less than
  // beta_slow times are stretched by `factor`, and between them both are mixed, pair by pair. `truncate` widens these
  // bounds to whole pairs.
  double beta_fast = 32;
  double beta_slow = 1;
  bool truncate = true;
  // Of kLongRope: the divisor of each pair, [head_dim / 2], in the original context and beyond it.
  std::vector<double> short_factors = {};
  std::vector<double> long_factors = {};
  std::string text = {};  // of kOther: what the file says
};

// What the axes of a position are.
enum class RopeAxes : uint8_t {
  kSequenceRowColumn,     // mrope, GLM-4.1V: text behind a picture counts on from its longer side
  kTokenColumnRowPicture  // xdrope, HunyuanOCR: the token's number, then places in the picture; three: not the first
};

struct Rope {
  double theta = 10000;
  RopeScaling scaling = {};
  double part = 1;          // of a head's elements that turn, from the first on
  bool neighbours = false;  // pairs are elements 2i and 2i + 1; else i and i + Dim/2
  // Pairs that turn by each axis of a position, in order. Dim/2 together. Empty: positions are single numbers.
  std::vector<int64_t> sections = {};
  RopeAxes kind = RopeAxes::kSequenceRowColumn;  // where there are sections

  int64_t Dim(int64_t head_dim) const;  // elements that turn; even
  int64_t axes() const { return sections.empty() ? 1 : static_cast<int64_t>(sections.size()); }
};

// Reads rope_theta, partial_rotary_factor, rope_scaling (type or rope_type) and the rope_parameters of newer files,
// which hold all three. `positions`: max_position_embeddings. INVALID_ARGUMENT with field, value and limit.
absl::StatusOr<Rope> ParseRope(const JsonFields& config, int64_t positions, int64_t head_dim);

// The longest context that the scaling was made for: `positions`, or more where the file says so (yarn).
int64_t RopePositions(const RopeScaling& scaling, int64_t positions);

// The angle of position p in pair i of a head is p · rate[i], i < n / 2: theta^(−2i / n), n = Dim(head_dim), then
// scaled. In fp32 step by step, as the published code computes them. `positions`: the longest sequence that will be
// served. Long RoPE has other rates beyond its original context; the published code switches in the middle of a
// sequence and then reads keys that were turned by the other rates, so here one set serves all sequences, long or
// short.
std::vector<float> RopeInverseFrequencies(const Rope& rope, int64_t head_dim, int64_t positions);

}  // namespace headroom::model
