#include "gateway/answer_syntax.h"

#include <algorithm>

#include "common/utf8.h"

namespace headroom::gateway {
namespace {

struct ReasoningMarks {
  const char* begin;
  const char* end;
};

// GLM-4.1V; behind a reasoning.
constexpr char kAnswerBegin[] = "<answer>", kAnswerEnd[] = "</answer>";

// Qwen3, DeepSeek-R1, GLM-4.5, MiniCPM; Magistral; Kimi-VL; Seed-OSS.
constexpr ReasoningMarks kReasoning[] = {
    {"<think>", "</think>"}, {"[THINK]", "[/THINK]"}, {"◁think▷", "◁/think▷"}, {"<seed:think>", "</seed:think>"}};

struct CallFamily {
  const char* in_template;  // by which it is known
  const char* not_with;     // another family that writes the same marker; may be null
  CallForm form;
  const char* begin;
  const char* end;
  CallMarks each = {};
};

// The first that the template has. <arg_key> and <function= are families with calls in XML, which are not read.
const CallFamily kCalls[] = {
    {"<tool_call>", "<arg_key>", CallForm::kTagged, "<tool_call>", "</tool_call>"},
    {"[TOOL_CALLS]", nullptr, CallForm::kList, "[TOOL_CALLS]", ""},
    {"\"parameters\": dictionary", nullptr, CallForm::kWholeAnswer, "<|python_tag|>", ""},
    {"<｜tool▁calls▁begin｜>",
     nullptr,
     CallForm::kSection,
     "<｜tool▁calls▁begin｜>",
     "<｜tool▁calls▁end｜>",
     {"<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"}},
    {"<|tool_calls_section_begin|>",
     nullptr,
     CallForm::kSection,
     "<|tool_calls_section_begin|>",
     "<|tool_calls_section_end|>",
     {"<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"}},
};

bool Has(const model::ChatTemplate& chat_template, const char* word) {
  return word != nullptr && chat_template.Mentions(word);
}

}  // namespace

std::vector<std::string> AnswerSyntax::Markers() const {
  std::vector<std::string> markers;
  for (const std::string* marker : {&reasoning_begin, &reasoning_end, &call_begin, &call_end, &each_call.begin,
                                    &each_call.separator, &each_call.end}) {
    if (!marker->empty()) markers.push_back(*marker);
  }
  return markers;
}

AnswerSyntax FindAnswerSyntax(const model::ChatTemplate& chat_template, const model::Tokenizer& tokenizer) {
  AnswerSyntax syntax;
  for (const ReasoningMarks& marks : kReasoning) {
    // A template that cuts the thoughts of earlier answers names the mark; a tokenizer has it where the model was
    // trained with it.
    if (!Has(chat_template, marks.end) && !tokenizer.TokenId(marks.end)) continue;
    syntax.reasoning_begin = marks.begin;
    syntax.reasoning_end = marks.end;
    break;
  }
  if (!syntax.reasoning_end.empty() && tokenizer.TokenId(kAnswerBegin) && tokenizer.TokenId(kAnswerEnd)) {
    syntax.answer_begin = kAnswerBegin;
    syntax.answer_end = kAnswerEnd;
  }
  for (const CallFamily& marks : kCalls) {
    if (!Has(chat_template, marks.in_template) || Has(chat_template, marks.not_with)) continue;
    if (Has(chat_template, "<function=")) continue;
    syntax.calls = marks.form;
    syntax.call_begin = marks.begin;
    syntax.call_end = marks.end;
    syntax.each_call = marks.each;
    break;
  }
  return syntax;
}

std::string_view TrimFront(std::string_view text) {
  const std::string_view trimmed = TrimWhiteSpace(text);
  return trimmed.empty() ? trimmed : text.substr(static_cast<size_t>(trimmed.data() - text.data()));
}

bool EndsInReasoning(const AnswerSyntax& syntax, const model::Tokenizer& tokenizer, std::span<const int32_t> prompt) {
  constexpr size_t kTailIds = 16;
  const std::string tail = tokenizer.Decode(prompt.last(std::min(prompt.size(), kTailIds)), /*skip_special=*/false);
  return !syntax.reasoning_begin.empty() && TrimWhiteSpace(tail).ends_with(syntax.reasoning_begin);
}

}  // namespace headroom::gateway
