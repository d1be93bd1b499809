// Every byte of a rendering knows who wrote it, whatever the template does with strings.
#include <gtest/gtest.h>

#include "model/text/jinja/testing.h"

namespace headroom::model::jinja {
namespace {

// The text with the caller's stretches in brackets.
std::string Marked(const std::string& source, const std::string& context) {
  const absl::StatusOr<MarkedText> text = RenderMarked(source, context);
  if (!text.ok()) return "ERROR " + std::string(text.status().message());
  std::string marked;
  size_t begin = 0;
  for (const OriginRun& run : text->runs()) {
    const std::string bytes = text->bytes().substr(begin, run.end - begin);
    marked += run.origin == Origin::kCaller ? "[" + bytes + "]" : bytes;
    begin = run.end;
  }
  return marked;
}

TEST(OriginTest, OperationsKeepIt) {
  const char* const context = R"({"x": " Ab,c ", "l": ["p", "q"]})";
  const std::pair<const char*, const char*> cases[] = {
      {"<{{ x }}>", "<[ Ab,c ]>"},
      {"{{ '<' + x + '>' }}", "<[ Ab,c ]>"},
      {"{{ '<' ~ x ~ 1 ~ '>' }}", "<[ Ab,c ]1>"},
      {"{{ ('<' + x + '>') | trim }}{{ x | trim }}", "<[ Ab,c ]>[Ab,c]"},
      {"{{ ('u' + x.strip()) | upper }}{{ ('U' + x.strip()) | lower }}", "U[AB,C]u[ab,c]"},
      {"{{ x | replace('b', '-') }}", "[ A]-[,c ]"},
      {"{{ 'a-b' | replace('-', x[1]) }}", "a[A]b"},
      {"{{ x.split(',') | join('|') }}", "[ Ab]|[c ]"},
      {"{{ '|'.join(l) }}{{ l | join(x[3]) }}", "[p]|[qp,q]"},
      {"{{ ('<' + x)[1:3] }}{{ ('<' + x)[::-1] }}", "[ A c,bA ]<"},
      {"{{ '%s=%5s|%d' % ('k', x[1:3], 7) }}", "k=   [Ab]|7"},
      {"{{ '{}: {}'.format('k', x[1]) }}", "k: [A]"},
      {"{{ l }}", "['[p]', '[q]']"},
      {"{{ ('a\\n' + x) | indent(2) }}", "a\n  [ Ab,c ]"},
      {"{% set y %}<{{ x }}>{% endset %}{{ y }}", "<[ Ab,c ]>"},
      {"{% macro m(t) %}<{{ t }}>{% endmacro %}{{ m(x) }}", "<[ Ab,c ]>"},
      {"{{ x[1] * 2 }}{{ 'z' * 2 }}", "[AA]zz"},
      {"{{ ('-' + x[1]) | title }}{{ x[1:3] | capitalize }}", "-[AAb]"},
      {"{% for c in x[1:3] %}{{ c }}.{% endfor %}", "[A].[b]."},
      {"{{ l | map('upper') | list | last }}{{ l | first }}", "[Qp]"},
  };
  for (const auto& [source, marked] : cases) EXPECT_EQ(Marked(source, context), marked) << source;
}

// JSON that holds a caller's text: what stands around its letters is taken for the caller's as well, so that no token
// begins in a caller's text and ends behind it.
TEST(OriginTest, JsonIsTheCallers) {
  EXPECT_EQ(Marked("<{{ d | tojson }}>", R"({"d": {"a<": ["\"", 1]}})"), "<[{\"a<\": [\"\\\"\", 1]}]>");
  EXPECT_EQ(Marked("{{ {'a': x} | tojson }}", R"({"x": "y"})"), "[{\"]a[\": \"y\"}]");
  EXPECT_EQ(Marked("{{ (x | from_json).a }}", R"({"x": "{\"a\": \"b\"}"})"), "[b]");
}

TEST(OriginTest, TextIsCutAndJoinedByRuns) {
  MarkedText text("ab", Origin::kTemplate);
  text.Append("cd", Origin::kCaller);
  text.Append("", Origin::kTemplate);
  text.Append("ef", Origin::kCaller);
  EXPECT_EQ(text.runs(), (std::vector<OriginRun>{{2, Origin::kTemplate}, {6, Origin::kCaller}}));
  EXPECT_EQ(text.OriginAt(1), Origin::kTemplate);
  EXPECT_EQ(text.OriginAt(2), Origin::kCaller);
  const MarkedText cut = text.Cut(1, 3);
  EXPECT_EQ(cut.bytes(), "bc");
  EXPECT_EQ(cut.runs(), (std::vector<OriginRun>{{1, Origin::kTemplate}, {2, Origin::kCaller}}));
  EXPECT_TRUE(text.Cut(3, 3).runs().empty());
}

}  // namespace
}  // namespace headroom::model::jinja
