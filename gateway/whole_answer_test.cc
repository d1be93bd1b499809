#include "gateway/whole_answer.h"

#include "gtest/gtest.h"

namespace headroom::gateway {
namespace {

v1::GenerateResponse Text(int choice, const std::string& text) {
  v1::GenerateResponse piece;
  piece.set_choice(choice);
  piece.set_text_delta(text);
  return piece;
}

TEST(WholeAnswerTest, PiecesOfSeveralChoicesComeMixed) {
  WholeAnswer answer;
  v1::GenerateResponse prompt;
  prompt.add_prompt_logprobs()->set_token(5);
  answer.Add(prompt);
  answer.Add(Text(2, "c"));
  answer.Add(Text(0, "a"));
  v1::GenerateResponse ends = Text(2, "C");
  ends.mutable_finish()->set_reason(v1::FINISH_REASON_LENGTH);
  ends.add_logprobs()->set_token(7);
  answer.Add(ends);
  v1::GenerateResponse first = Text(0, "A");
  first.mutable_finish()->set_reason(v1::FINISH_REASON_STOP);
  answer.Add(first);
  v1::GenerateResponse last = Text(1, "");
  last.set_reasoning_delta("because");
  last.mutable_finish()->mutable_usage()->set_completion_tokens(9);
  answer.Add(last);

  const v1::CompleteResponse whole = answer.Take();
  ASSERT_EQ(whole.choices_size(), 3);
  EXPECT_EQ(whole.choices(0).text(), "aA");
  EXPECT_EQ(whole.choices(1).text(), "");
  EXPECT_EQ(whole.choices(1).reasoning(), "because");
  EXPECT_EQ(whole.choices(2).index(), 2);
  EXPECT_EQ(whole.choices(2).text(), "cC");
  EXPECT_EQ(whole.choices(2).logprobs(0).token(), 7);
  EXPECT_EQ(whole.choices(2).finish().reason(), v1::FINISH_REASON_LENGTH);
  EXPECT_EQ(whole.prompt_logprobs(0).token(), 5);
  // What a client of one choice reads: the first, and the usage of all.
  EXPECT_EQ(whole.text(), "aA");
  EXPECT_EQ(whole.finish().reason(), v1::FINISH_REASON_STOP);
  EXPECT_EQ(whole.finish().usage().completion_tokens(), 9);
}

TEST(WholeAnswerTest, CallsGrowFromTheirDeltas) {
  WholeAnswer answer;
  const auto add = [&](int index, const char* name, const char* arguments) {
    v1::GenerateResponse piece;
    v1::ToolCallDelta& delta = *piece.add_tool_calls();
    delta.set_index(index);
    delta.set_name(name);
    delta.set_arguments_delta(arguments);
    answer.Add(piece);
  };
  add(0, "look", "{\"a\"");
  add(0, "", ":1}");
  add(1, "wait", "{}");
  const v1::CompleteResponse whole = answer.Take();
  ASSERT_EQ(whole.choices(0).tool_calls_size(), 2);
  EXPECT_EQ(whole.choices(0).tool_calls(0).name(), "look");
  EXPECT_EQ(whole.choices(0).tool_calls(0).arguments_json(), "{\"a\":1}");
  EXPECT_EQ(whole.choices(0).tool_calls(1).name(), "wait");
}

}  // namespace
}  // namespace headroom::gateway
