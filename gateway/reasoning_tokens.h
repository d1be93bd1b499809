// How many tokens of an answer are its thoughts.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/answer_syntax.h"

namespace headroom::gateway {

// Counts as AnswerParser tells thoughts from text; the tokens of both marks are among them. Used by one thread.
class ReasoningTokens {
 public:
  // `syntax` must outlive this. `begun`: the prompt ended inside of a reasoning.
  ReasoningTokens(const AnswerSyntax& syntax, bool begun);

  // What the next token added to the answer's text; it may be nothing.
  void Add(std::string_view text);

  int64_t count() const { return state_ == State::kBegin ? 0 : count_; }

 private:
  enum class State : uint8_t { kBegin, kReasoning, kOver };

  const AnswerSyntax& syntax_;
  State state_;
  std::string held_;  // what the mark that comes next may begin in
  int64_t count_ = 0;
};

}  // namespace headroom::gateway
