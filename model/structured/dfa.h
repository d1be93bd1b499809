// Deterministic automata over code points: what grammars lack, sets of strings that can be intersected and
// complemented. Each function that builds one has a bound on its states; above it the error says so.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "model/structured/code_points.h"
#include "model/structured/pattern_syntax.h"
#include "model/structured/rules.h"

namespace headroom::model {

class Dfa {
 public:
  static constexpr int kStatesMax = 4000;
  static constexpr int kDead = -1;

  static absl::StatusOr<Dfa> FromRegex(const Regex& regex);
  // Texts of min to max code points (max: Rules::kUnbounded).
  static Dfa OfLength(int64_t min, int64_t max);
  static Dfa Of(const std::vector<std::string>& texts);
  static Dfa Everything() { return OfLength(0, Rules::kUnbounded); }
  // Optional "-", then an integer without leading zeros that is divisible by `divisor`, 1 to 1,000.
  static Dfa MultiplesOf(int divisor);

  enum class Operation { kBoth, kFirstOnly };  // in a and in b; in a and not in b
  static absl::StatusOr<Dfa> Combine(const Dfa& a, const Dfa& b, Operation operation);

  bool Accepts(const std::string& text) const;
  bool IsEmpty() const;
  // `spell` gives the expression of one code point of a set.
  Rules::Expression ToRules(absl::FunctionRef<Rules::Expression(const CodePoints&)> spell, Rules& rules) const;

 private:
  struct Edge {
    CodePointRange range;
    int target = kDead;
  };
  struct State {
    std::vector<Edge> edges = {};  // ascending, without overlap
    bool accepts = false;
  };
  friend class SubsetConstruction;

  int Step(int state, char32_t c) const;
  // Whether an accepting state can be reached, by state.
  std::vector<bool> Live() const;

  std::vector<State> states_;  // 0 is the start
};

}  // namespace headroom::model
