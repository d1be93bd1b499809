// What config.json says of rotary positions.
#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "model/rope.h"

namespace headroom::model {
namespace {

constexpr double kThetaMin = 1, kThetaMax = 1e12;
constexpr double kFactorMax = 1e6;
constexpr double kPartMin = 1e-3;
constexpr int64_t kPositionsMax = 1 << 24;

absl::Status RequireFactor(const JsonFields& object) {
  return object.Has("factor") ? absl::OkStatus() : object.Error("factor", "is missing");
}

absl::Status ParseLlama3(const JsonFields& object, RopeScaling& scaling) {
  HEADROOM_RETURN_IF_ERROR(RequireFactor(object));
  HEADROOM_ASSIGN_OR_RETURN(scaling.low_freq_factor, object.NumberOr("low_freq_factor", 1e-3, kFactorMax, 1));
  HEADROOM_ASSIGN_OR_RETURN(scaling.high_freq_factor, object.NumberOr("high_freq_factor", 1e-3, kFactorMax, 4));
  if (scaling.high_freq_factor > scaling.low_freq_factor) return absl::OkStatus();
  return object.Error("high_freq_factor", absl::StrCat(scaling.high_freq_factor, " must be above low_freq_factor ",
                                                       scaling.low_freq_factor));
}

double YarnAttention(double factor, double weight) { return factor <= 1 ? 1 : 0.1 * weight * std::log(factor) + 1; }

absl::Status ParseYarn(const JsonFields& object, RopeScaling& scaling) {
  if (!object.Has("factor") && scaling.factor == 1) return RequireFactor(object);
  constexpr double kTurnsMin = 1e-3, kTurnsMax = 1e6, kWeightMax = 100;
  HEADROOM_ASSIGN_OR_RETURN(scaling.beta_fast, object.NumberOr("beta_fast", kTurnsMin, kTurnsMax, 32));
  HEADROOM_ASSIGN_OR_RETURN(scaling.beta_slow, object.NumberOr("beta_slow", kTurnsMin, kTurnsMax, 1));
  HEADROOM_ASSIGN_OR_RETURN(scaling.truncate, object.BoolOr("truncate", true));
  HEADROOM_ASSIGN_OR_RETURN(const double weight, object.NumberOr("mscale", 0, kWeightMax, 0));
  HEADROOM_ASSIGN_OR_RETURN(const double weight_all, object.NumberOr("mscale_all_dim", 0, kWeightMax, 0));
  if (scaling.beta_fast < scaling.beta_slow) {
    return object.Error("beta_fast",
                        absl::StrCat(scaling.beta_fast, " must not be below beta_slow ", scaling.beta_slow));
  }
  const double of_paper = weight != 0 && weight_all != 0
                              ? YarnAttention(scaling.factor, weight) / YarnAttention(scaling.factor, weight_all)
                              : YarnAttention(scaling.factor, 1);
  HEADROOM_ASSIGN_OR_RETURN(scaling.attention_factor, object.NumberOr("attention_factor", 0, kFactorMax, of_paper));
  return absl::OkStatus();
}

absl::Status ParseLongRope(const JsonFields& object, int64_t head_dim, RopeScaling& scaling) {
  struct {
    const char* name;
    std::vector<double>& values;
  } lists[] = {{"short_factor", scaling.short_factors}, {"long_factor", scaling.long_factors}};
  for (auto& [name, values] : lists) {
    HEADROOM_ASSIGN_OR_RETURN(values, object.Numbers(name, 1e-6, kFactorMax));
    const auto want = static_cast<size_t>(head_dim / 2);
    if (values.size() != want) {
      return object.Error(name, absl::StrCat("has ", values.size(), " entries, want head_dim / 2 = ", want));
    }
  }
  const double original = static_cast<double>(scaling.original_positions);
  const double of_paper =
      scaling.factor <= 1 || original <= 1 ? 1 : std::sqrt(1 + std::log(scaling.factor) / std::log(original));
  HEADROOM_ASSIGN_OR_RETURN(scaling.attention_factor, object.NumberOr("attention_factor", 0, kFactorMax, of_paper));
  return absl::OkStatus();
}

// The context before it grew, and by how much: the factor may be left to the ratio of both contexts.
absl::Status ParseGrowth(const JsonFields& config, const JsonFields& object, int64_t positions, RopeScaling& scaling) {
  constexpr char kOriginal[] = "original_max_position_embeddings";
  HEADROOM_ASSIGN_OR_RETURN(const int64_t own, object.IntOr(kOriginal, 1, kPositionsMax, positions));
  HEADROOM_ASSIGN_OR_RETURN(scaling.original_positions, config.IntOr(kOriginal, 1, kPositionsMax, own));
  const double ratio = static_cast<double>(positions) / static_cast<double>(scaling.original_positions);
  HEADROOM_ASSIGN_OR_RETURN(scaling.factor, object.NumberOr("factor", 1, kFactorMax, ratio));
  return absl::OkStatus();
}

absl::StatusOr<RopeScaling> ParseScaling(const JsonFields& config, const std::string& name, const JsonFields& object,
                                         int64_t positions, int64_t head_dim) {
  using Type = RopeScaling::Type;
  HEADROOM_ASSIGN_OR_RETURN(const std::string old_type, object.StringOr("type", "default"));
  HEADROOM_ASSIGN_OR_RETURN(const std::string type, object.StringOr("rope_type", old_type));
  RopeScaling scaling;
  // "dynamic" begins beyond max_position_embeddings, where nothing is served.
  if (type == "dynamic" || (type == "default" && !object.Has("factor"))) return scaling;
  HEADROOM_RETURN_IF_ERROR(ParseGrowth(config, object, positions, scaling));
  absl::Status parsed;
  if (type == "linear") {
    scaling.type = Type::kLinear;
    parsed = RequireFactor(object);
  } else if (type == "llama3") {
    scaling.type = Type::kLlama3;
    parsed = ParseLlama3(object, scaling);
  } else if (type == "yarn") {
    scaling.type = Type::kYarn;
    parsed = ParseYarn(object, scaling);
  } else if (type == "longrope" || type == "su") {  // its name in early files
    scaling.type = Type::kLongRope;
    parsed = ParseLongRope(object, head_dim, scaling);
  } else {
    scaling.type = Type::kOther;
    scaling.text = config.Print(name);
  }
  HEADROOM_RETURN_IF_ERROR(parsed);
  return scaling;
}

}  // namespace

absl::StatusOr<Rope> ParseRope(const JsonFields& config, int64_t positions, int64_t head_dim) {
  Rope rope;
  HEADROOM_ASSIGN_OR_RETURN(rope.theta, config.NumberOr("rope_theta", kThetaMin, kThetaMax, rope.theta));
  HEADROOM_ASSIGN_OR_RETURN(rope.part, config.NumberOr("partial_rotary_factor", kPartMin, 1, rope.part));
  for (const char* name : {"rope_scaling", "rope_parameters"}) {
    HEADROOM_ASSIGN_OR_RETURN(const auto object, config.Object(name));
    if (!object) continue;
    HEADROOM_ASSIGN_OR_RETURN(rope.theta, object->NumberOr("rope_theta", kThetaMin, kThetaMax, rope.theta));
    HEADROOM_ASSIGN_OR_RETURN(rope.part, object->NumberOr("partial_rotary_factor", kPartMin, 1, rope.part));
    HEADROOM_ASSIGN_OR_RETURN(rope.scaling, ParseScaling(config, name, *object, positions, rope.Dim(head_dim)));
  }
  return rope;
}

}  // namespace headroom::model
