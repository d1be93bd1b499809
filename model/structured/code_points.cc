#include "model/structured/code_points.h"

#include <algorithm>

namespace headroom::model {
namespace {

constexpr CodePointRange kBelowSurrogates = {0, 0xD7FF};
constexpr CodePointRange kAboveSurrogates = {0xE000, kCodePointMax};

}  // namespace

CodePoints AllCodePoints() { return {kBelowSurrogates, kAboveSurrogates}; }

CodePoints Normalize(CodePoints set) {
  std::ranges::sort(set, {}, &CodePointRange::first);
  CodePoints joined;
  for (const CodePointRange& range : set) {
    if (range.first > range.last) continue;
    if (!joined.empty() && range.first <= joined.back().last + 1) {
      joined.back().last = std::max(joined.back().last, range.last);
    } else {
      joined.push_back(range);
    }
  }
  return Intersect(joined, AllCodePoints());
}

CodePoints Complement(const CodePoints& set) {
  CodePoints rest;
  char32_t next = 0;
  for (const CodePointRange& range : set) {
    if (range.first > next) rest.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kCodePointMax) rest.push_back({next, kCodePointMax});
  return Intersect(rest, AllCodePoints());
}

CodePoints Intersect(const CodePoints& a, const CodePoints& b) {
  CodePoints both;
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const char32_t first = std::max(a[i].first, b[j].first), last = std::min(a[i].last, b[j].last);
    if (first <= last) both.push_back({first, last});
    if (a[i].last < b[j].last) {
      ++i;
    } else {
      ++j;
    }
  }
  return both;
}

}  // namespace headroom::model
