// Regular expressions as JSON Schema has them (ECMA-262, the part that is regular), as trees.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/structured/code_points.h"
#include "model/structured/rules.h"

namespace headroom::model {

inline constexpr int64_t kRepetitionMax = 4096;

// Matches whole texts: what ^ and $ say has become part of the tree.
struct Regex {
  enum class Kind : uint8_t { kSet, kSequence, kChoice, kRepeat };
  Kind kind = Kind::kSequence;    // without parts: the empty text. kChoice without parts: nothing
  CodePoints set = {};            // kSet
  std::vector<Regex> parts = {};  // one for kRepeat
  int64_t min = 0, max = 0;       // kRepeat; Rules::kUnbounded

  static Regex Set(CodePoints set) { return {.kind = Kind::kSet, .set = std::move(set)}; }
  static Regex Of(char c) { return Set({{static_cast<char32_t>(c), static_cast<char32_t>(c)}}); }
  static Regex Text(const std::string& ascii);
  static Regex Sequence(std::vector<Regex> parts) { return {.parts = std::move(parts)}; }
  static Regex Choice(std::vector<Regex> options) { return {.kind = Kind::kChoice, .parts = std::move(options)}; }
  static Regex Repeat(Regex what, int64_t min, int64_t max) {
    return {.kind = Kind::kRepeat, .parts = {std::move(what)}, .min = min, .max = max};
  }
};

// `pattern` is valid UTF-8. INVALID_ARGUMENT saying what is not supported: look-around, back references, flags,
// Unicode properties, word boundaries, anchors in the middle, repetitions above kRepetitionMax.
// \d, \w, \s are those of ECMA-262.
absl::StatusOr<Regex> ParsePattern(const std::string& pattern);

// A code point of `set` as it is spelled inside a JSON string: itself, or its short escape. One spelling for each.
Rules::Expression JsonCharacter(const CodePoints& set, Rules& rules);
// The inside of a JSON string whose value matches.
Rules::Expression JsonCharacters(const Regex& regex, Rules& rules);

}  // namespace headroom::model
