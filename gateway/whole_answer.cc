#include "gateway/whole_answer.h"

#include <utility>

namespace headroom::gateway {

v1::Choice& WholeAnswer::ChoiceAt(int index) {
  while (answer_.choices_size() <= index) answer_.add_choices()->set_index(answer_.choices_size() - 1);
  return *answer_.mutable_choices(index);
}

void WholeAnswer::Add(const v1::GenerateResponse& piece) {
  answer_.mutable_prompt_logprobs()->MergeFrom(piece.prompt_logprobs());
  v1::Choice& choice = ChoiceAt(piece.choice());
  choice.mutable_text()->append(piece.text_delta());
  choice.mutable_reasoning()->append(piece.reasoning_delta());
  choice.mutable_logprobs()->MergeFrom(piece.logprobs());
  for (const v1::ToolCallDelta& delta : piece.tool_calls()) {
    while (choice.tool_calls_size() <= delta.index()) choice.add_tool_calls();
    v1::ToolCall& call = *choice.mutable_tool_calls(delta.index());
    call.mutable_id()->append(delta.id());
    call.mutable_name()->append(delta.name());
    call.mutable_arguments_json()->append(delta.arguments_delta());
  }
  if (!piece.has_finish()) return;
  *choice.mutable_finish() = piece.finish();
  if (piece.finish().has_usage()) last_ = piece.finish();
}

v1::CompleteResponse WholeAnswer::Take() {
  if (answer_.choices_size() > 0) {
    answer_.set_text(answer_.choices(0).text());
    *answer_.mutable_finish() = answer_.choices(0).finish();
    *answer_.mutable_finish()->mutable_usage() = last_.usage();
    answer_.mutable_finish()->set_reasoning_tokens(last_.reasoning_tokens());
  }
  return std::move(answer_);
}

}  // namespace headroom::gateway
