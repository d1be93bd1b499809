// Rewrites text before it is cut into words, as the "normalizer" of a tokenizer.json says.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/text/pattern.h"
#include "model/text/unicode.h"

namespace headroom::model {

// Immutable and thread-safe.
class Normalizer {
 public:
  // Reads Prepend, Replace (a Regex or a String), Lowercase, NFC, NFD, NFKC, NFKD, Strip, StripAccents, Nmt and
  // Sequence of those; null is no step. Errors: INVALID_ARGUMENT naming what is not supported, or steps that together
  // make a text more than kGrowthMax times as long.
  static absl::StatusOr<Normalizer> FromJson(const nlohmann::json& json);

  static constexpr int64_t kGrowthMax = 64;

  struct Result {
    std::string_view text;   // in the given storage, or the input where nothing changes
    bool from_start = true;  // its first character comes from the first one of the input
  };
  // `text`: valid UTF-8. Errors: INVALID_ARGUMENT as SplitRegex::FindMatches.
  absl::StatusOr<Result> Apply(std::string_view text, std::string* storage) const;

  // A text becomes at most this many times as long, apart from what Prepend puts before it.
  int64_t growth_max() const { return growth_max_; }
  // … and this many times as short; nothing when a text may vanish.
  std::optional<int64_t> shrink_max() const { return shrink_max_; }

 private:
  enum class Kind { kPrepend, kReplace, kLowercase, kForm, kStrip, kStripAccents, kNmt };
  struct Step {
    Kind kind;
    std::string content = {};            // kPrepend, kReplace
    Pattern pattern = {};                // kReplace
    NormalForm form = NormalForm::kNfc;  // kForm
    bool left = false, right = false;    // kStrip
  };

  absl::Status Add(const nlohmann::json& json, int depth);
  absl::Status AddReplace(const nlohmann::json& json);
  void AddStep(Step step, int64_t growth, std::optional<int64_t> shrink);
  static absl::Status ApplyStep(const Step& step, std::string_view text, std::string* out, bool* from_start);

  std::vector<Step> steps_;
  int64_t growth_max_ = 1;
  std::optional<int64_t> shrink_max_ = 1;
};

}  // namespace headroom::model
