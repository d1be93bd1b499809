// The language, against what jinja2 3.1.6 writes in the environment of transformers (tests/templates/oracle.py); texts
// made by it. tests/templates compares more of it, at random.
#include <gtest/gtest.h>

#include <ctime>

#include "model/text/jinja/testing.h"

namespace headroom::model::jinja {
namespace {

const char* const kContext =
    R"({"s": "Hello, W\u00f6rld", "l": [1, 2, 3, 4], "d": {"b": 1, "a": [true, null], "items": "x"}, "n": null,
        "users": [{"name": "Bo", "age": 3}, {"name": "al", "age": 7}, {"name": "Cy"}]})";

struct Case {
  const char* source;
  const char* text;
};

template <size_t kCount>
void ExpectTexts(const Case (&cases)[kCount]) {
  for (const Case& one : cases) EXPECT_EQ(Rendered(one.source, kContext), one.text) << one.source;
}

TEST(LanguageTest, Literals) {
  ExpectTexts(
      {{"{{ 1 }} {{ 1_000 }} {{ 0x1f }} {{ 1.50 }} {{ 1e3 }} {{ 1e16 }} {{ 1e-5 }} {{ -7 }} {{ true }} {{ False }} {{ "
        "none }}",
        "1 1000 31 1.5 1000.0 1e+16 1e-05 -7 True False None"},
       {"{{ 'a' 'b' }} {{ \"it's\" }} {{ 'q\\'q' }} {{ '\\x41\\u00e9\\101\\q' }}", "ab it's q'q A\u00e9A\\q"},
       {"{{ [1, 'a', none, 1.0] }} {{ (1,) }} {{ () }} {{ {'a': 1, 2: 'b', none: true} }} {{ ['it\\'s', \"\\n\"] }}",
        "[1, 'a', None, 1.0] (1,) () {'a': 1, 2: 'b', None: True} [\"it's\", '\\n']"},
       {"{{ 1, 2 }}", "(1, 2)"}});
}

TEST(LanguageTest, Operators) {
  ExpectTexts({{"{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 6 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 "
                "}} {{ 7.5 // 2 }} {{ -7.5 % 2 }}",
                "3 -4 1 2 3.5 3.0 1024 0.5 3.0 0.5"},
               {"{{ 1 + 2 * 3 - 4 }} {{ (1 + 2) * 3 }} {{ -2 ** 2 }} {{ 2 ** 3 ** 2 }} {{ 'a' * 3 }} {{ [0] * 2 }} {{ "
                "[1] + [2] }} {{ (1,) + (2,) }} {{ true + 1 }}",
                "3 9 4 64 aaa [0, 0] [1, 2] (1, 2) 2"},
               {"{{ 'a' ~ 1 ~ none ~ 2.0 }} {{ 1 ~ 2 * 3 }}", "a1None2.0 16"},
               {"{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} "
                "{{ [1] == (1,) }} {{ none == false }}",
                "True False True True True True False False"},
               {"{{ 2 in l }} {{ 9 not in l }} {{ 'ell' in s }} {{ 'a' in d }} {{ 'x' in {} }} {{ not 1 in [] }}",
                "True True True True False True"},
               {"{{ 1 and 2 }} {{ 0 or 'x' }} {{ not '' }} {{ none and x.y }} {{ 1 if s else 2 }} {{ 1 if n }} {{ 'a' "
                "if n else 'b' if n else 'c' }}",
                "2 x True None 1  c"}});
}

TEST(LanguageTest, Undefined) {
  ExpectTexts({{"[{{ nope }}] {{ nope is defined }} {{ nope is undefined }} {{ nope | default('x') }} {{ nope or 'y' "
                "}} {{ nope == nope2 }} {{ nope | length }} {% for x in nope %}x{% endfor %}",
                "[] False True x y True 0 "},
               {"{{ d.nope is defined }} {{ d['nope'] | default(1) }} {{ n.x is defined }} {{ l[9] is defined }} {{ "
                "nope is none }} {{ nope is string }} {{ 'x' in nope }} {{ nope ~ 'a' }}",
                "False 1 False False False False False a"}});
}

TEST(LanguageTest, SubscriptsAndSlices) {
  ExpectTexts({{"{{ l[0] }} {{ l[-1] }} {{ l[1:] }} {{ l[:-1] }} {{ l[::-1] }} {{ l[::2] }} {{ l[3:0:-2] }} {{ s[1] }} "
                "{{ s[-5:] }} {{ s[::-1] }} {{ l[5:] }} {{ l[-9:2] }} {{ s[8] }} {{ l.0 }}",
                "1 4 [2, 3, 4] [1, 2, 3] [4, 3, 2, 1] [1, 3] [4, 2] e W\u00f6rld dlr\u00f6W ,olleH [] [1, 2] \u00f6 1"},
               {"{{ d.a }} {{ d['b'] }} {{ d.get('b') }} {{ d.get('z') }} {{ d.get('z', 3) }} {{ d['items'] }} {{ "
                "users[0].name }} {{ users[-1]['name'] }}",
                "[True, None] 1 1 None 3 x Bo Cy"}});
}

TEST(LanguageTest, MethodsOfStrings) {
  ExpectTexts({{"{{ ' x '.strip() }}| {{ 'xxaxx'.strip('x') }} {{ 'xa'.lstrip('x') }} {{ 'ax'.rstrip('x') }} {{ "
                "'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'a b c'.rsplit(' ', 1) "
                "}} {{ ' a b  c '.split(none, 1) }}",
                "x| a a a ['a', 'b', '', 'c'] ['a', 'b'] ['a', 'b,c'] ['a b', 'c'] ['a', 'b  c ']"},
               {"{{ 'a\\nb\\r\\nc'.splitlines() }} {{ 'a-b-c'.partition('-') }} {{ 'a-b-c'.rpartition('-') }} {{ "
                "'ab'.partition('-') }}",
                "['a', 'b', 'c'] ('a', '-', 'b-c') ('a-b', '-', 'c') ('ab', '', '')"},
               {"{{ s.startswith('He') }} {{ s.endswith(('x', 'ld')) }} {{ s.find('l') }} {{ s.rfind('l') }} {{ "
                "s.find('z') }} {{ s.count('l') }} {{ 'abc'.index('c') }} {{ s.find('W') }}",
                "True True 2 10 -1 3 2 7"},
               {"{{ s.upper() }} {{ s.lower() }} {{ s.title() }} {{ 'hELLO wORLD'.capitalize() }} {{ 'aB'.swapcase() "
                "}} {{ '\u00df'.upper() }}",
                "HELLO, W\u00d6RLD hello, w\u00f6rld Hello, W\u00f6rld Hello world Ab SS"},
               {"{{ 'aXbX'.replace('X', '-') }} {{ 'aXbX'.replace('X', '-', 1) }} {{ 'ab'.replace('', '.') }} {{ "
                "'-'.join(['a', 'b']) }} {{ 'ab'.center(5, '*') }} {{ 'abc'.center(6, '*') }} {{ 'a'.ljust(3) }}| {{ "
                "'a'.rjust(3, '0') }} {{ '-5'.zfill(4) }}",
                "a-b- a-bX .a.b. a-b **ab* *abc** a  | 00a -005"},
               {"{{ 'ab'.isalpha() }} {{ '12'.isdigit() }} {{ ' '.isspace() }} {{ ''.isalpha() }} {{ 'a1'.isalnum() }} "
                "{{ 'AB'.isupper() }} {{ 'pre-x'.removeprefix('pre-') }} {{ 'x.py'.removesuffix('.py') }}",
                "True True True False True True x x"},
               {"{{ '%s is %d, %5.2f|%-4s|%04d|%x|%r|%%' % ('a', 3, 2.5, 'b', 42, 255, 'q') }} {{ '%s' % 5 }} {{ "
                "'%(a)s' % {'a': 1} }} {{ '%+d' % 5 }} {{ '%g' % 0.1 }}",
                "a is 3,  2.50|b   |0042|ff|'q'|% 5 1 +5 0.1"},
               {"{{ '{} {1}'.format(1, 2) if false else '{0}-{1}-{0}'.format('a', 'b') }} {{ '{}{}'.format(1, [2]) }} "
                "{{ '{n:>4}|{f:.2f}|{n:03d}'.format(n=7, f=1.5) }} {{ '{{}}'.format() if false else 'x' }}",
                "a-b-a 1[2]    7|1.50|007 x"}});
}

TEST(LanguageTest, ListsAndMaps) {
  ExpectTexts({{"{{ d.keys() | list }} {{ d.values() | list }} {{ d.items() | list }} {% for k, v in d.items() %}{{ k "
                "}}={{ v }};{% endfor %} {% for k in d %}{{ k }}{% endfor %} {{ d | length }} {{ dict(a=1) }} {{ "
                "dict(d, z=2) | length }}",
                "['b', 'a', 'items'] [1, [True, None], 'x'] [('b', 1), ('a', [True, None]), ('items', 'x')] "
                "b=1;a=[True, None];items=x; baitems 3 {'a': 1} 4"},
               {"{{ range(5) | list }} {{ range(1, 10, 3) | list }} {{ range(3, 0, -1) | list }} {{ l.index(3) }} {{ "
                "l.count(2) }} {{ {1: 'a', 1.0: 'b', true: 'c'} }} {{ {1: 'x'}[1] }}",
                "[0, 1, 2, 3, 4] [1, 4, 7] [3, 2, 1] 2 1 {1: 'c'} x"}});
}

TEST(LanguageTest, FiltersOfText) {
  ExpectTexts({{"{{ ' a ' | trim }}| {{ 'xax' | trim('x') }} {{ s | upper }} {{ s | lower }} {{ 'hello world-foo bar' "
                "| title }} {{ 'aBC' | capitalize }} {{ 'aba' | replace('a', 'x') }} {{ 'aba' | replace('a', 'x', 1) "
                "}} {{ 5 | string }} {{ none | string }} {{ 5 | replace(5, 6) }}",
                "a| a HELLO, W\u00d6RLD hello, w\u00f6rld Hello World-Foo Bar Abc xbx xba 5 None 6"},
               {"{{ 'a\\nb\\n\\nc' | indent }}| {{ 'a\\nb' | indent(2, true) }}| {{ 'a\\n\\nb' | indent(2, blank=true) "
                "}} {{ 'a\\nb' | indent('> ') }} {{ 'x' | center(5) }}| {{ 'one two three four' | truncate(10, "
                "leeway=0) }} {{ 'abcdefghij' | truncate(5, true, '!', 0) }}",
                "a\n    b\n\n    c|   a\n  b| a\n  \n  b a\n> b   x  | one... abcd!"},
               {"{{ '5' | int }} {{ 'x' | int }} {{ 'x' | int(7) }} {{ 3.9 | int }} {{ '3.9' | int }} {{ 'ff' | int(0, "
                "16) }} {{ '2.5' | float }} {{ 'x' | float }} {{ 3 | float }} {{ -3 | abs }} {{ 2.5 | round }} {{ "
                "2.567 | round(2) }} {{ 2.1 | round(0, 'ceil') }} {{ 42 | round }} {{ 3.5 | round }}",
                "5 0 7 3 3 255 2.5 0.0 3.0 3 2.0 2.57 3.0 42 4.0"},
               {"{{ '%s-%s' | format('a', 1) }} {{ 'a b c' | wordcount }} {{ 'a b&c/d' | urlencode }} {{ '<a>' | "
                "escape }} {{ '<' | safe }} {{ ('<b>' | safe) + '<i>' }} {{ '<i>' ~ ('<b>' | safe) }}",
                "a-1 3 a%20b%26c/d &lt;a&gt; < <b>&lt;i&gt; <i><b>"},
               {"{{ {'b': 1, 'a': [1, 2.0, none, true], 'c': {}, 'd': []} | tojson }} {{ '\u00e9\"\\n/<' | tojson }} "
                "{{ {'b': 1, 'a': [1, {}]} | tojson(indent=2) }} {{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }} {{ "
                "'\u00e9' | tojson(ensure_ascii=true) }} {{ [1, 2] | tojson(separators=(',', ':')) }} {{ {1: 2, none: "
                "3, true: 4} | tojson }}",
                "{\"b\": 1, \"a\": [1, 2.0, null, true], \"c\": {}, \"d\": []} \"\u00e9\\\"\\n/<\" {\n  \"b\": 1,\n  "
                "\"a\": [\n    1,\n    {}\n  ]\n} {\"a\": 2, \"b\": 1} \"\\u00e9\" [1,2] {\"1\": 4, \"null\": 3}"}});
}

TEST(LanguageTest, FiltersOfSequences) {
  ExpectTexts(
      {{"{{ [3, 1, 2] | sort }} {{ ['b', 'A', 'c'] | sort }} {{ ['b', 'A', 'c'] | sort(case_sensitive=true) }} {{ [1, "
        "2] | sort(reverse=true) }} {{ users | selectattr('age') | map(attribute='name') | list }} {{ users | "
        "sort(attribute='name') | map(attribute='name') | join(',') }}",
        "[1, 2, 3] ['A', 'b', 'c'] ['A', 'b', 'c'] [2, 1] ['Bo', 'al'] al,Bo,Cy"},
       {"{{ d | dictsort | map('first') | list }} {{ {'a': 2, 'b': 1} | dictsort(by='value') }} {{ d | items | list | "
        "length }} {{ l | join }} {{ l | join('-') }} {{ users | join(', ', attribute='name') }} {{ [none, 1.5, 'a'] | "
        "join('|') }}",
        "['a', 'b', 'items'] [('b', 1), ('a', 2)] 3 1234 1-2-3-4 Bo, al, Cy None|1.5|a"},
       {"{{ l | first }} {{ l | last }} {{ '' | first is defined }} {{ l | length }} {{ s | length }} {{ l | sum }} {{ "
        "users | map(attribute='age', default=0) | sum }} {{ l | min }} {{ l | max }} {{ 'abc' | list }} {{ 'abc' | "
        "reverse }} {{ l | reverse | list }}",
        "1 4 False 4 12 10 10 1 4 ['a', 'b', 'c'] cba [4, 3, 2, 1]"},
       {"{{ l | select('odd') | list }} {{ l | reject('odd') | list }} {{ users | selectattr('age', 'defined') | list "
        "| length }} {{ users | rejectattr('name', 'equalto', 'Bo') | map(attribute='name') | list }} {{ ['a', 'b'] | "
        "map('upper') | list }} {{ none | map('upper') | list }} {{ l | select | list }} {{ l | select('>', 2) | list "
        "}}",
        "[1, 3] [2, 4] 2 ['al', 'Cy'] ['A', 'B'] [] [1, 2, 3, 4] [3, 4]"},
       {"{{ ['b', 'a', 'B'] | unique | list }} {{ l | batch(3) | list }} {{ l | batch(3, 0) | list }} {% for k, g in "
        "users | groupby('name') %}{{ k }}{{ g | length }}{% endfor %} {{ [[1, 2]] | map('last') | list }} {{ users | "
        "map(attribute='name') | map('lower') | join(' ') }} {{ d | attr('a') is defined }}",
        "['b', 'a'] [[1, 2, 3], [4]] [[1, 2, 3], [4, 0, 0]] al1Bo1Cy1 [2] bo al cy False"},
       {"{% set g = l | map('string') %}{{ g | list }}{{ g | list }}{% if l | select('>', 9) %}always{% endif %}",
        "['1', '2', '3', '4'][]always"}});
}

TEST(LanguageTest, Tests) {
  ExpectTexts({{"{{ 1 is number }} {{ 1 is integer }} {{ true is integer }} {{ 1.0 is float }} {{ true is boolean }} "
                "{{ true is true }} {{ 1 is true }} {{ s is string }} {{ d is mapping }} {{ l is mapping }} {{ s is "
                "sequence }} {{ d is iterable }} {{ n is iterable }} {{ n is none }}",
                "True True False True True True False True True False True True False True"},
               {"{{ 3 is odd }} {{ 4 is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(4) }} {{ 1 is in [1] }} "
                "{{ 1 is eq 1 }} {{ 2 is gt 1 }} {{ 'a' is lower }} {{ 'A' is upper }} {{ n is sameas none }} {{ "
                "'upper' is filter }} {{ 'odd' is test }} {{ s is not string }} {{ range is callable }}",
                "True True True False True True True True True True True True False True"}});
}

TEST(LanguageTest, Statements) {
  ExpectTexts({{"{% if n %}a{% elif l %}b{% else %}c{% endif %}{% for x in l %}{{ x }}{% else %}none{% endfor %}{% for "
                "x in [] %}{% else %}none{% endfor %}",
                "b1234none"},
               {"{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.first }}{{ loop.last }}{{ "
                "loop.length }}{{ loop.previtem }}{{ loop.nextitem }} {{ loop.cycle('o', 'e') }};{% endfor %}",
                "104TrueFalse42 o;213FalseFalse413 e;322FalseFalse424 o;431FalseTrue43 e;"},
               {"{% for x in l if x is odd %}{{ x }}/{{ loop.length }} {% endfor %}{% for x in l %}{% if x == 2 %}{% "
                "continue %}{% endif %}{% if x == 4 %}{% break %}{% endif %}{{ x }}{% endfor %}",
                "1/2 3/2 13"},
               {"{% set x = 1 %}{% for y in l %}{% set x = y %}{% endfor %}{{ x }} {% set ns = namespace(x=1) %}{% for "
                "y in l %}{% set ns.x = ns.x + y %}{% endfor %}{{ ns.x }} {{ ns.nope is defined }}",
                "1 11 False"},
               {"{% set a, b = 1, 2 %}{{ a }}{{ b }} {% set t %}x{{ a }}{% endset %}{{ t }} {% set u | upper %}low{% "
                "endset %}{{ u }} {% filter upper | replace('B', 'c') %}ab{% endfilter %} {% with q = 5, r = 6 %}{{ q "
                "+ r }}{% endwith %}{{ q is defined }}",
                "12 x1 LOW Ac 11False"},
               {"{% macro f(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1) }} {{ "
                "f(1, 3) }} {{ f(1, b=4, z=5) }} {{ f(1, 2, 3, 4) }} {{ f() }}",
                "121(){} 131(){} 141(){'z': 5} 123(4,){} 2(){}"},
               {"{% macro w(t) %}<{{ t }}>{{ caller(1) }}</{{ t }}>{% endmacro %}{% call(n) w('b') %}x{{ n }}{{ s[0] "
                "}}{% endcall %}",
                "<b>x1H</b>"},
               {"{% macro fact(n) %}{{ n if n < 2 else n * (fact(n - 1) | int) }}{% endmacro %}{{ fact(5) }} {% for x "
                "in [[1, [2, [3]]]] recursive %}{% for y in x %}{{ loop.index }}{% endfor %}{% if x[1] is defined "
                "%}({{ loop([x[1]]) }}){% endif %}{{ loop.depth }}{% endfor %}",
                "120 12(12(13)2)1"},
               {"{% generation %}gen{% set hidden = 1 %}{% endgeneration %}{{ hidden is defined }} {% raw %}{{ x }}{% "
                "endraw %} {# a comment #}{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
                "genFalse {{ x }} 123"},
               {"{% macro later() %}{{ z }}{% endmacro %}{% set z = 3 %}{{ later() }} {% for x in 'ab' %}{% for y in "
                "'cd' %}{{ loop.index }}{{ x }}{{ y }}{% endfor %}{{ loop.index }}{% endfor %} {% for x in l %}{% if "
                "loop.changed(x // 3) %}c{% endif %}{% endfor %}",
                "3 1ac2ad11bc2bd2 cc"}});
}

TEST(LanguageTest, WhiteSpace) {
  ExpectTexts(
      {{"a\n  {% if true %}\n  b\n  {% endif %}\nc\n", "a\n  b\nc"},
       {"a  {%- if true -%}  b  {%- endif -%}  c {{- 1 -}} d {{+ 2 }}\n  {%+ if true %}x{% endif +%}\ny\n\n",
        "abc1d 2\n  x\ny\n"},
       {"  {# c #}\n  x {# y #}\n {{ 1 }}\n{% raw -%}  {{ r }}  {%- endraw %}\nz\015\nw", "  x  1\n{{ r }}z\nw"},
       {"{% set x %}\n  a\n{% endset %}[{{ x }}]{{ {'a': {'b': 1}} }}{{ {'a': {}}}}",
        "[  a\n]{'a': {'b': 1}}{'a': {}}"}});
}

TEST(LanguageTest, Clock) {
  std::tm local{};
  const std::time_t now = 0;
  localtime_r(&now, &local);
  EXPECT_EQ(Rendered("{{ strftime_now('%Y-%m-%d') }}", "{}"), local.tm_year == 69 ? "1969-12-31" : "1970-01-01");
}

// Beyond what transformers lets a template do.
TEST(LanguageTest, ListsAndMapsThatChange) {
  EXPECT_EQ(
      Rendered("{% set x = [] %}{% set _ = x.append(1) %}{% set _ = x.extend([2, 3]) %}{{ x.pop() }}{{ x }}", "{}"),
      "3[1, 2]");
  EXPECT_EQ(Rendered("{% set x = {'a': 1, 'b': 2, 'c': 3} %}{{ x.pop('a') }}{{ x.pop('z', 9) }}{{ x }}{{ x.c }}", "{}"),
            "19{'b': 2, 'c': 3}3");
  EXPECT_EQ(Rendered("{% set x = {} %}{% set _ = x.update({'a': 1}) %}{{ x.setdefault('b', 2) }}{{ x }}", "{}"),
            "2{'a': 1, 'b': 2}");
  EXPECT_EQ(Rendered("{{ ('[1, {\"a\": null}]' | from_json)[1] }}", "{}"), "{'a': None}");
}

TEST(LanguageTest, ErrorsNameTheLine) {
  const std::pair<const char*, const char*> cases[] = {
      {"a\n{{ x.y }}", "line 2: 'x' is undefined"},
      {"{{ 'a' + 1 }}", "line 1: unsupported operand types for +: 'str' and 'int'"},
      {"\n\n{% for x in 5 %}{% endfor %}", "line 3: 'int' object is not iterable"},
      {"{{ x | nope }}", "line 1: No filter named 'nope'"},
      {"{{ x is nope }}", "line 1: No test named 'nope'"},
      {"{% set x.y = 1 %}", "line 1: cannot assign attribute on non-namespace object 'x'"},
      {"{% for a, b in [[1]] %}{% endfor %}", "line 1: cannot unpack 1 values into 2 names"},
      {"{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}", "line 1: macro 'f' takes not more than 1 argument(s)"},
      {"{{ raise_exception('no ' ~ 1) }}", "line 1: the template refuses this conversation: no 1"},
      {"{{ 1 // 0 }}", "line 1: division by zero"},
      {"{{ 9223372036854775807 + 1 }}", "line 1: an integer beyond 64 bits"},
      {"{{ 9223372036854775808 }}", "line 1: '9223372036854775808' is no integer of at most 64 bits"},
      {"{{ {[]: 1} }}", "line 1: unhashable type: 'list'"},
      {"\n{% if x %}", "line 2: the template ends where 'endif' was expected"},
      {"{{ 'a }}", "line 1: a string has no end"},
      {"{{ a b }}", "line 1: found 'b' where '}}' was expected"},
      {"{% endif %}", "line 1: the statement 'endif' is not supported, or has no place here"},
      {"{% break %}", "line 1: 'break' outside of a loop"},
      {"{# ", "line 1: a comment has no end"},
      {"{{ ) }}", "line 1: unexpected ')'"},
      {"{{ '\\ud800' }}", "line 1: a string has an escape that is no character"},
      {"{{ a is b is c }}", "line 1: found 'is' where an operator: tests cannot be chained was expected"},
  };
  for (const auto& [source, message] : cases) {
    EXPECT_EQ(Rendered(source, "{}"), std::string("ERROR chat template, ") + message) << source;
  }
}

}  // namespace
}  // namespace headroom::model::jinja
