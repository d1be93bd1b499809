// Sets of code points: sorted ranges that do not touch. Surrogates are in none.
#pragma once

#include <vector>

namespace headroom::model {

struct CodePointRange {
  char32_t first = 0;
  char32_t last = 0;  // belongs to it
  bool operator==(const CodePointRange&) const = default;
};
using CodePoints = std::vector<CodePointRange>;

inline constexpr char32_t kCodePointMax = 0x10FFFF;

// Sorts, joins, and takes surrogates out.
CodePoints Normalize(CodePoints set);
CodePoints AllCodePoints();
CodePoints Complement(const CodePoints& set);
CodePoints Intersect(const CodePoints& a, const CodePoints& b);

}  // namespace headroom::model
