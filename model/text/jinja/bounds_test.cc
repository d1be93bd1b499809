// Whatever a template does, it ends: within its steps, its memory, its output and the stack.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/text/jinja/testing.h"

namespace headroom::model::jinja {
namespace {

using ::testing::HasSubstr;

const Limits kSmall = {.steps = 100'000, .bytes = 1 << 20, .output_bytes = 10'000};

std::string Repeated(const std::string& text, int times) {
  std::string repeated;
  for (int i = 0; i < times; ++i) repeated += text;
  return repeated;
}

TEST(BoundsTest, StepsAreCounted) {
  for (const char* source :
       {"{% for a in range(1000) %}{% for b in range(1000) %}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{% set x = range(5) %}{% for i in range(100000) %}{{ i }}"
        "{% endfor %}",
        "{% set ns = namespace(s='') %}{% for i in range(20000) %}{% set ns.s = ns.s + 'xxxxxxxxxx' %}{% endfor %}",
        "{% set s = 'ab' * 50000 %}{% for i in range(1000) %}{% set x = s.rfind('ba' * 30) %}{% endfor %}"}) {
    const std::string message = Rendered(source, "{}", kSmall);
    EXPECT_THAT(message, ::testing::AnyOf(HasSubstr("takes more than 100000 steps"), HasSubstr("writes more than")))
        << source;
  }
}

TEST(BoundsTest, MemoryIsCounted) {
  for (const char* source :
       {"{{ 'x' * 1000000000000 }}", "{% set x = [0] * 1000000000000 %}",
        "{{ '%1000000d' % 1 }}{{ 'a'.ljust(999999999) }}", "{{ 'a'.center(99999999999) }}",
        "{{ ('x' * 1000) | replace('x', 'y' * 10000) }}", "{{ 'a' | indent(9999999999, true) }}",
        "{% set ns = namespace(l=['x' * 100000]) %}{% for i in range(100) %}{% set ns.l = ns.l + ['x' * 100000] %}"
        "{% endfor %}",
        "{% set l = [] %}{% for i in range(90000) %}{% set _ = l.append(i) %}{% endfor %}",
        "{% for i in range(20000) %}{% macro f() %}{% endmacro %}{% endfor %}"}) {
    const std::string message = Rendered(source, "{}", kSmall);
    EXPECT_THAT(message, ::testing::AnyOf(HasSubstr("needs more than 1048576 bytes"), HasSubstr("steps"),
                                          HasSubstr("a width above")))
        << source;
  }
}

TEST(BoundsTest, OutputIsCounted) {
  const char* const source = "{% for i in range(n) %}0123456789{% endfor %}";
  EXPECT_EQ(Rendered(source, R"({"n": 1000})", kSmall).size(), 10'000);
  EXPECT_THAT(Rendered(source, R"({"n": 1001})", kSmall), HasSubstr("writes more than 10000 bytes"));
  EXPECT_THAT(Rendered("{% set x %}" + std::string(source) + "{% endset %}", R"({"n": 1001})", kSmall),
              HasSubstr("writes more than 10000 bytes"));
}

TEST(BoundsTest, MemoryComesBack) {
  Allowance allowance(kSmall);
  {
    Workspace workspace(&allowance);
    Runtime runtime{workspace, 0};
    // Lists, maps, loops and namespaces that hold themselves.
    const auto parsed = Template::Parse(
        "{% set l = [1] %}{% set _ = l.append(l) %}{% set d = {} %}{% set _ = d.update({'d': d, 'l': l}) %}"
        "{% set ns = namespace() %}{% set ns.self = ns %}{% set ns.l = [ns, l] %}"
        "{% for x in [l] %}{% set ns.loop = loop %}{{ loop.changed(loop, ns) }}{% endfor %}"
        "{% macro f() %}{{ g }}{% endmacro %}{% set g = [f] %}{% set ns.m = l.append %}{{ l == l }}");
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    const auto text = parsed->Render(runtime, {});
    EXPECT_EQ(text.status().message(), "");
    EXPECT_GT(allowance.bytes(), 0);
  }
  EXPECT_EQ(allowance.bytes(), 0);
}

TEST(BoundsTest, NestingIsBounded) {
  for (const std::string& source :
       {"{{ " + Repeated("(", 100'000) + "1" + Repeated(")", 100'000) + " }}",
        "{{ " + Repeated("not ", 100'000) + "1 }}", "{{ " + Repeated("-", 100'000) + "1 }}",
        "{{ 1" + Repeated(" + 1", 100'000) + " }}", "{{ x" + Repeated("[0]", 100'000) + " }}",
        "{{ x" + Repeated(" | trim", 100'000) + " }}", "{{ 1" + Repeated(" if 1", 100'000) + " }}",
        "{{ 1" + Repeated(" is in x", 100'000) + " }}", Repeated("{% if 1 %}", 100'000),
        Repeated("{% for x in y %}", 100'000)}) {
    EXPECT_THAT(Rendered(source, "{}", kSmall), HasSubstr("nested more than 200 deep")) << source.substr(0, 30);
  }
  EXPECT_THAT(Rendered("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{}"),
              HasSubstr("nested more than 600 deep"));
  EXPECT_THAT(Rendered("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "{}"), HasSubstr("nested more than"));
  const char* const deep =
      "{% set ns = namespace(x=[]) %}{% for i in range(1000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}";
  EXPECT_THAT(Rendered(deep, "{}"), HasSubstr("nested more than 100 deep"));
  const char* const self = "{% set l = [] %}{% set _ = l.append(l) %}";
  EXPECT_THAT(Rendered(std::string(self) + "{{ l }}", "{}"), HasSubstr("nested more than 100 deep"));
  EXPECT_THAT(Rendered(std::string(self) + "{{ l | tojson }}", "{}"), HasSubstr("nested more than 100 deep"));
  EXPECT_THAT(Rendered(std::string(self) + "{% set m = [] %}{% set _ = m.append(m) %}{{ l == m }}", "{}"),
              HasSubstr("nested more than 100 deep"));
  EXPECT_THAT(Rendered("{{ x }}", "{\"x\": " + Repeated("[", 200) + Repeated("]", 200) + "}"),
              HasSubstr("JSON is nested more than 100 deep"));
}

TEST(BoundsTest, LongChainsOfOrdinaryLengthAreFine) {
  EXPECT_EQ(Rendered("{{ 1" + Repeated(" + 1", 150) + " }}", "{}"), "151");
  EXPECT_EQ(Rendered("{{ 'a'" + Repeated(" ~ 'a'", 1000) + " }}", "{}"), Repeated("a", 1001));
}

}  // namespace
}  // namespace headroom::model::jinja
