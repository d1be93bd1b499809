// tokenizer_config.json and the Jinja template in it.
#include <algorithm>

#include "common/check.h"
#include "model/text/chat_template.h"
#include "model/text/template_shape.h"
#include "tests/fuzz/fuzz_target.h"

namespace headroom::fuzz {
namespace {

using model::ChatRole;
using model::PromptSegment;

void CheckRender(const model::ChatTemplate& chat) {
  const std::string user = "<|im_start|><|eot_id|> hello";
  const std::vector<model::ChatMessage> messages = {
      {ChatRole::kUser, {user}}, {ChatRole::kAssistant, {"hi"}}, {ChatRole::kUser, {" x "}}};
  const auto segments = chat.Render(messages);
  HEADROOM_CHECK(segments.ok()) << segments.status();
  const std::vector<std::string> controls = chat.control_tokens();
  const auto is_user = [&](const PromptSegment& segment) { return segment.text == user; };
  HEADROOM_CHECK(std::count_if(segments->begin(), segments->end(), is_user) == 1);
  for (const PromptSegment& segment : *segments) {
    const bool known = std::find(controls.begin(), controls.end(), segment.text) != controls.end();
    HEADROOM_CHECK(segment.kind != PromptSegment::Kind::kControl || known) << segment.text;
  }
}

void Run(const std::string& input) {
  const auto nodes = model::ReadTemplate(input);
  if (!nodes.ok()) CheckClientError(nodes.status());
  for (const auto& chat :
       {model::ChatTemplate::FromTokenizerConfig(input), model::ChatTemplate::FromJinja(input, "<s>")}) {
    if (chat.ok()) {
      CheckRender(*chat);
    } else {
      CheckClientError(chat.status());
    }
  }
}

std::vector<std::string> Seeds() {
  std::vector<std::string> seeds = {TreeFile("models/demo/tokenizer_config.json")};
  seeds.emplace_back(
      "{% for m in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou are "
      "a helpful assistant.<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + m.role + '\\n' + m['content'] + "
      "'<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}");
  seeds.emplace_back(
      "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + "
      "message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 "
      "%}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ "
      "'<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}");
  seeds.emplace_back("{#- a comment -#}\n  {%- if x -%} {{- \"a\\t\" + (b + ['c']) -}} {% endif %}\n");
  return seeds;
}

const Registration registration({"chat_template", Run, Seeds});

}  // namespace
}  // namespace headroom::fuzz
