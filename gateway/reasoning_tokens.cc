#include "gateway/reasoning_tokens.h"

namespace headroom::gateway {

ReasoningTokens::ReasoningTokens(const AnswerSyntax& syntax, bool begun)
    : syntax_(syntax),
      state_(syntax.reasoning_begin.empty() ? State::kOver
             : begun                        ? State::kReasoning
                                            : State::kBegin) {}

void ReasoningTokens::Add(std::string_view text) {
  if (state_ == State::kOver) return;
  ++count_;
  held_ += text;
  if (state_ == State::kBegin) {
    const std::string_view trimmed = TrimFront(held_);
    const std::string& mark = syntax_.reasoning_begin;
    if (trimmed.size() < mark.size() && mark.starts_with(trimmed)) return;
    const bool thinks = trimmed.starts_with(mark);
    state_ = thinks ? State::kReasoning : State::kOver;
    if (!thinks) count_ = 0;
    held_ = thinks ? std::string(trimmed.substr(mark.size())) : "";
  }
  if (state_ != State::kReasoning) return;
  const std::string& end = syntax_.reasoning_end;
  if (held_.find(end) != std::string::npos) {
    state_ = State::kOver;
  } else if (held_.size() >= end.size()) {
    held_.erase(0, held_.size() - end.size() + 1);
  }
}

}  // namespace headroom::gateway
