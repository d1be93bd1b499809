#include "gateway/answer_syntax.h"

namespace headroom::gateway {
namespace {

struct ReasoningMarks {
  const char* begin;
  const char* end;
};

// Qwen3, DeepSeek-R1, GLM-4.5, MiniCPM; Magistral; Kimi-VL; Seed-OSS.
constexpr ReasoningMarks kReasoning[] = {
    {"<think>", "</think>"}, {"[THINK]", "[/THINK]"}, {"◁think▷", "◁/think▷"}, {"<seed:think>", "</seed:think>"}};

struct CallMarks {
  const char* in_template;  // by which a family is known
  const char* not_with;     // another family that writes the same marker; may be null
  CallForm form;
  const char* begin;
  const char* end;
};

// The first that the template has. <arg_key> and <function= are families with calls in XML, which are not read.
constexpr CallMarks kCalls[] = {
    {"<tool_call>", "<arg_key>", CallForm::kTagged, "<tool_call>", "</tool_call>"},
    {"[TOOL_CALLS]", nullptr, CallForm::kList, "[TOOL_CALLS]", ""},
    {"\"parameters\": dictionary", nullptr, CallForm::kWholeAnswer, "<|python_tag|>", ""},
};

bool Has(const model::ChatTemplate& chat_template, const char* word) {
  return word != nullptr && chat_template.Mentions(word);
}

}  // namespace

std::vector<std::string> AnswerSyntax::Markers() const {
  std::vector<std::string> markers;
  for (const std::string* marker : {&reasoning_begin, &reasoning_end, &call_begin, &call_end}) {
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
  for (const CallMarks& marks : kCalls) {
    if (!Has(chat_template, marks.in_template) || Has(chat_template, marks.not_with)) continue;
    if (Has(chat_template, "<function=")) continue;
    syntax.calls = marks.form;
    syntax.call_begin = marks.begin;
    syntax.call_end = marks.end;
    break;
  }
  return syntax;
}

}  // namespace headroom::gateway
