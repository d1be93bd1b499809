// The rates of rotary positions, with the scalings that let a model see further than it was first trained to.
#pragma once

#include <cstdint>
#include <vector>

namespace headroom::model {

struct RopeScaling {
  enum class Type { kNone, kLinear, kLlama3 };
  Type type = Type::kNone;
  double factor = 1;  // by which the context grew
  // Of kLlama3: waves longer than original_positions / low_freq_factor are stretched by `factor`, those shorter than
  // original_positions / high_freq_factor stay, and between them both are mixed.
  double low_freq_factor = 1;
  double high_freq_factor = 4;
  int64_t original_positions = 0;
};

// The angle of position p in pair i of a head is p · rate[i], i < head_dim / 2: theta^(−2i / head_dim), then scaled. In
// fp32 step by step, as the published code (transformers) computes them.
std::vector<float> RopeInverseFrequencies(double theta, int64_t head_dim, const RopeScaling& scaling);

}  // namespace headroom::model
