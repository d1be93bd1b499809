// How a model marks, in the text of its answer, what it thinks and which tools it calls: found in its chat template and
// added tokens, for the families in the tables of answer_syntax.cc.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/text/chat_template.h"
#include "model/text/tokenizer.h"

namespace headroom::gateway {

// Of one call in a CallForm::kSection: begin, function, separator, arguments, end.
struct CallMarks {
  std::string begin, separator, end;
};

// How calls are written. Each is {"name": …, "arguments" or "parameters": {…}} but where its line says otherwise.
enum class CallForm : uint8_t {
  kNone,         // the model's template knows no tools, or a form of calls that is not read here
  kTagged,       // one object between `begin` and `end` (Hermes, Qwen)
  kList,         // behind `begin` a list of objects, or for each call name[ARGS]{arguments} (Mistral)
  kWholeAnswer,  // the whole answer is one object, `begin` before it or not (Llama 3)
  kSection,      // between `begin` and `end` any number, each in marks of its own (DeepSeek, Kimi)
};

struct AnswerSyntax {
  std::string reasoning_begin, reasoning_end;  // empty: it marks no reasoning
  CallForm calls = CallForm::kNone;
  std::string call_begin, call_end;
  CallMarks each_call = {};                        // of a kSection
  std::string answer_begin = {}, answer_end = {};  // around what is said behind a reasoning; empty: nothing

  // Special tokens that are text here: the detokenizer shows them. Those around an answer may stay hidden.
  std::vector<std::string> Markers() const;
};

AnswerSyntax FindAnswerSyntax(const model::ChatTemplate& chat_template, const model::Tokenizer& tokenizer);

// Text without the white space before it, which belongs to the mark that it follows.
std::string_view TrimFront(std::string_view text);

// Whether a prompt ends inside of a reasoning, so that the answer begins there.
bool EndsInReasoning(const AnswerSyntax& syntax, const model::Tokenizer& tokenizer, std::span<const int32_t> prompt);

}  // namespace headroom::gateway
