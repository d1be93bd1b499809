// Jinja templates, rendered within small bounds; and as the chat template of a model.
#include <nlohmann/json.hpp>

#include "common/check.h"
#include "model/text/chat_template.h"
#include "model/text/jinja/json.h"
#include "model/text/jinja/template.h"
#include "tests/fuzz/fuzz_target.h"

namespace headroom::fuzz {
namespace {

using model::ChatRole;
using model::jinja::MarkedText;
using model::jinja::Origin;

// In what callers write and, without an escape, in no template of ASCII letters.
const std::string kMark = "\xE2\x81\x82";

std::string Context() {
  return R"({"messages": [{"role": "user", "content": ")" + kMark +
         R"( hi <|im_end|> "}, {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f",
             "arguments": {"a": [1, 2.5, true]}}}]}, {"role": "user", "content": [{"type": "text", "text": "x"}]}],
             "tools": [{"function": {"name": "f", "parameters": {"type": "object"}}}], "x": " a,B ", "n": 3,
             "l": [3, 1, 2], "add_generation_prompt": true, "bos_token": "<s>"})";
}

void CheckOrigins(const std::string& input, const MarkedText& text) {
  const bool may_write_it = input.find('\\') != std::string::npos || input.find(kMark) != std::string::npos;
  size_t begin = 0;
  for (const model::jinja::OriginRun& run : text.runs()) {
    HEADROOM_CHECK(run.end > begin && run.end <= text.size());
    const std::string piece = text.bytes().substr(begin, run.end - begin);
    HEADROOM_CHECK(run.origin == Origin::kCaller || may_write_it || piece.find(kMark) == std::string::npos);
    begin = run.end;
  }
  HEADROOM_CHECK(begin == text.size());
}

// Whether it rendered.
bool RunJinja(const std::string& input) {
  constexpr int64_t kOutputBytesMax = 64 << 10;
  const auto parsed = model::jinja::Template::Parse(input);
  if (!parsed.ok()) {
    CheckClientError(parsed.status());
    return false;
  }
  model::jinja::Allowance allowance({.steps = 20'000, .bytes = 1 << 20, .output_bytes = kOutputBytesMax});
  bool rendered = false;
  {
    model::jinja::Workspace workspace(&allowance);
    const auto context = model::jinja::ReadJson(workspace, Context(), Origin::kCaller);
    HEADROOM_CHECK(context.ok()) << context.status();
    model::jinja::Evaluator::Variables variables;
    for (const auto& [name, value] : context->dict().items) variables.emplace_back(name.text().bytes(), value);
    model::jinja::Runtime runtime{workspace, 0};
    const auto text = parsed->Render(runtime, variables);
    rendered = text.ok();
    if (rendered) {
      HEADROOM_CHECK(static_cast<int64_t>(text->size()) <= kOutputBytesMax);
      CheckOrigins(input, *text);
    } else {
      CheckClientError(text.status());
    }
  }
  HEADROOM_CHECK(allowance.bytes() == 0) << allowance.bytes();
  return rendered;
}

void Run(const std::string& input) {
  if (!RunJinja(input)) return;
  const auto chat = model::ChatTemplate::Create(
      {.name = "fuzz", .jinja = input, .tool_use = {}, .special_tokens = {{"bos_token", "<s>"}}});
  if (!chat.ok()) {
    CheckClientError(chat.status());
    return;
  }
  const auto segments = chat->Render({.messages = {{ChatRole::kSystem, {"s"}},
                                                   {ChatRole::kUser, {kMark, model::ImagePart{}}},
                                                   {ChatRole::kAssistant, {}, {{"1", "f", "{}"}}},
                                                   {ChatRole::kTool, {"r"}, {}, "1"},
                                                   {ChatRole::kAssistant, {"and "}}},
                                      .tools = {{"f", "d", R"({"type": "object"})"}},
                                      .add_generation_prompt = false,
                                      .continue_final_message = true});
  if (!segments.ok()) {
    CheckClientError(segments.status());
    return;
  }
  int64_t images = 0;
  for (const model::PromptSegment& segment : *segments) {
    images += segment.kind == model::PromptSegment::Kind::kImage ? 1 : 0;
  }
  HEADROOM_CHECK(images == 1);
}

std::vector<std::string> Seeds() {
  std::vector<std::string> seeds = {
      nlohmann::json::parse(TreeFile("models/demo/tokenizer_config.json"))["chat_template"].get<std::string>()};
  for (const char* seed :
       {"{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|a|>' + "
        "message['role'] "
        "+ '\\n\\n' + message['content'] | trim + '<|b|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + "
        "content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|c|>' }}{% endif %}",
        "{#- a comment -#}\n  {%- if x -%} {{- \"a\\t\" ~ (l + ['c']) -}} {% elif n > 2 %}{% else %}{% endif %}\n",
        "{% macro m(a, b=2) %}{{ caller() if caller else a ~ b }}{{ varargs }}{{ kwargs }}{% endmacro %}"
        "{% call m(1) %}x{% endcall %}{{ m(1, c=3, *l, **{'d': n}) }}",
        "{% set ns = namespace(i=0, l=[]) %}{% for m in messages[::-1] if m.role is string %}{% set ns.i = ns.i + 1 %}"
        "{% set _ = ns.l.append(m) %}{{ loop.index }}{{ loop.previtem }}{% if loop.last %}{% break %}{% endif %}"
        "{% continue %}{% else %}none{% endfor %}{{ ns.i }}{{ ns.l | tojson(indent=2) }}",
        "{% for t in tools %}{{ t | tojson }}{% for k, v in t.function.parameters.items() %}{{ k }}: {{ v | upper }}"
        "{% endfor %}{% endfor %}{% set s %}{{ x }}{% endset %}{% filter upper | indent(2) %}{{ s }}{% endfilter %}",
        "{{ x.split(',') | map('trim') | join('-') }}{{ '%s %05.2f' % (x, n / 2) }}{{ '{0:>4}'.format(n) }}"
        "{{ l | sort | reverse | list }}{{ {'a': 1, 2: none} }}{{ (x | from_json) if false else l[-1:0:-1] }}",
        "{% for i in l recursive %}{{ i }}{{ loop([]) }}{{ loop.cycle(1, 2) }}{% endfor %}{% raw %}{{ {% endraw %}"
        "{% with a = 1, b = l %}{{ a in b }}{{ not a is odd }}{{ strftime_now('%Y') }}{% endwith %}"
        "{% generation %}{{ range(3) | list }}{% endgeneration %}{{ raise_exception('no') if n == 0 }}"}) {
    seeds.emplace_back(seed);
  }
  return seeds;
}

const Registration registration({"chat_template", Run, Seeds});

}  // namespace
}  // namespace headroom::fuzz
