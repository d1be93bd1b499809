// JSON numbers within bounds, as regular expressions over their decimal spelling. Never in exponent form when bounded.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "model/structured/pattern_syntax.h"
#include "model/structured/rules.h"

namespace headroom::model {

// Digits before and behind the point: what keeps a model from writing digits for ever.
inline constexpr int64_t kIntegerDigitsMax = 18;
inline constexpr int64_t kFractionDigitsMax = 18;

// A decimal fraction, exactly.
struct Decimal {
  bool negative = false;
  int64_t integer = 0;   // of the absolute value; at most 10^18
  std::string fraction;  // digits without zeros at the end

  bool IsZero() const { return integer == 0 && fraction.empty(); }
  // From a JSON number. A value beyond ±10^18 becomes that; digits beyond the 18th behind the point are an error.
  static absl::StatusOr<Decimal> Parse(const std::string& number);
};
// a < b
bool Less(const Decimal& a, const Decimal& b);

struct Bound {
  Decimal value;
  bool exclusive = false;
};
struct NumberRange {
  std::optional<Bound> least, most;
  bool integers_only = false;
  int64_t divisor = 1;  // of integers; 1 to 1,000
  std::optional<int64_t> fraction_digits_max;
};

// INVALID_ARGUMENT when it takes too many states.
absl::StatusOr<Rules::Expression> NumberRules(const NumberRange& range, Rules& rules);

}  // namespace headroom::model
