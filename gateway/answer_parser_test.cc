// What a model thinks, says and calls, told apart wherever pieces of its text end.
#include "gateway/answer_parser.h"

#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"

namespace headroom::gateway {
namespace {

using ::testing::HasSubstr;

struct Parsed {
  std::string text, reasoning;
  std::vector<WrittenCall> calls;
  v1::FinishReason reason = v1::FINISH_REASON_UNSPECIFIED;

  bool operator==(const Parsed& other) const {
    if (calls.size() != other.calls.size()) return false;
    for (size_t i = 0; i < calls.size(); ++i) {
      if (calls[i].name != other.calls[i].name || calls[i].arguments_json != other.calls[i].arguments_json)
        return false;
    }
    return text == other.text && reasoning == other.reasoning && reason == other.reason;
  }
};

// The answer in pieces of `size` bytes, then its end.
Parsed ParseIn(size_t size, const AnswerSyntax& syntax, const AnswerParser::Options& options,
               const std::string& answer) {
  AnswerParser parser(syntax, options);
  Parsed parsed;
  for (size_t at = 0; at <= answer.size(); at += size) {
    v1::GenerateResponse piece;
    piece.set_choice(1);
    piece.set_text_delta(answer.substr(at, size));
    if (at + size > answer.size()) piece.mutable_finish()->set_reason(v1::FINISH_REASON_STOP);
    parser.Parse(&piece);
    parsed.text += piece.text_delta();
    parsed.reasoning += piece.reasoning_delta();
    for (const v1::ToolCallDelta& delta : piece.tool_calls()) {
      if (!delta.name().empty()) {
        EXPECT_EQ(delta.index(), static_cast<int>(parsed.calls.size()));
        EXPECT_FALSE(delta.id().empty());
        parsed.calls.push_back({delta.name(), ""});
      }
      parsed.calls.back().arguments_json += delta.arguments_delta();
    }
    if (piece.has_finish()) parsed.reason = piece.finish().reason();
  }
  return parsed;
}

// The same wherever the pieces end.
Parsed Parse(const AnswerSyntax& syntax, const AnswerParser::Options& options, const std::string& answer) {
  Parsed whole = ParseIn(answer.size() + 1, syntax, options, answer);
  for (size_t size = 1; size <= 12; ++size)
    EXPECT_TRUE(ParseIn(size, syntax, options, answer) == whole) << size << ": " << answer;
  return whole;
}

const AnswerSyntax kQwen{"<think>", "</think>", CallForm::kTagged, "<tool_call>", "</tool_call>"};
const AnswerSyntax kMistral{"[THINK]", "[/THINK]", CallForm::kList, "[TOOL_CALLS]", ""};
const AnswerSyntax kLlama{"", "", CallForm::kWholeAnswer, "<|python_tag|>", ""};
const AnswerParser::Options kCalls{.calls = true};

TEST(AnswerParserTest, ReasoningStandsApart) {
  const Parsed parsed = Parse(kQwen, {}, "<think>\nLet me < see.\n</think>\n\nHELLO");
  EXPECT_EQ(parsed.reasoning, "Let me < see.\n");
  EXPECT_EQ(parsed.text, "HELLO");
  EXPECT_EQ(parsed.reason, v1::FINISH_REASON_STOP);
}

TEST(AnswerParserTest, ReasoningThatThePromptBegan) {
  EXPECT_EQ(Parse(kQwen, {.thinks = true}, "Hm.</think>So").reasoning, "Hm.");
  EXPECT_EQ(Parse(kQwen, {.thinks = true}, "Hm, </thin").reasoning, "Hm, </thin");
  EXPECT_EQ(Parse(kQwen, {}, "no <think> here</think>").text, "no <think> here</think>");
}

// GLM-4.1V ends at </answer>, which may then be no part of its text.
TEST(AnswerParserTest, MarksAroundAnAnswerAreNoPartOfIt) {
  AnswerSyntax glm = kQwen;
  glm.answer_begin = "<answer>";
  glm.answer_end = "</answer>";
  for (const auto& options : {AnswerParser::Options{}, kCalls}) {
    for (const char* end : {"", "</answer>"}) {
      const Parsed parsed = Parse(glm, options, absl::StrCat("<think>Hm.</think>\n<answer>\n1 < 2 </a>", end));
      EXPECT_EQ(parsed.reasoning, "Hm.");
      EXPECT_EQ(parsed.text, "1 < 2 </a>");
    }
  }
  EXPECT_EQ(Parse(glm, {}, "<answer>Yes</answer>").text, "Yes");
  EXPECT_EQ(Parse(glm, {}, "<think>Hm.</think>Yes</answer>").text, "Yes</answer>") << "none had begun";
  EXPECT_EQ(Parse(glm, {}, "Say <answer> and </answer>.").text, "Say <answer> and </answer>.");
  EXPECT_EQ(Parse(glm, {}, "<answer>Yes</ans").text, "Yes</ans");
  EXPECT_EQ(Parse(kQwen, {}, "<think>Hm.</think><answer>Yes</answer>").text, "<answer>Yes</answer>");
  EXPECT_EQ(
      Parse(glm, kCalls, "<think>.</think><answer><tool_call>{\"name\": \"f\"}</tool_call></answer>").calls.size(), 1u);
}

TEST(AnswerParserTest, TaggedCalls) {
  const Parsed parsed = Parse(kQwen, kCalls, R"(Sure.
<tool_call>
{"name": "f", "arguments": {"b": 1, "a": "x"}}
</tool_call>
<tool_call>{"name": "g"}</tool_call>)");
  EXPECT_EQ(parsed.text, "Sure.\n");
  ASSERT_EQ(parsed.calls.size(), 2u);
  EXPECT_EQ(parsed.calls[0].name, "f");
  EXPECT_EQ(parsed.calls[0].arguments_json, R"({"b":1,"a":"x"})");
  EXPECT_EQ(parsed.calls[1].arguments_json, "{}");
  EXPECT_EQ(parsed.reason, v1::FINISH_REASON_TOOL_CALLS);
}

TEST(AnswerParserTest, WhatIsNoCallStaysText) {
  for (const char* answer :
       {"<tool_call>{\"name\": 1}</tool_call> x", "a <tool_call>{\"name\": \"f\"", "<tool_cal", "1 < 2"}) {
    const Parsed parsed = Parse(kQwen, kCalls, answer);
    EXPECT_EQ(parsed.text, answer);
    EXPECT_TRUE(parsed.calls.empty());
    EXPECT_EQ(parsed.reason, v1::FINISH_REASON_STOP);
  }
  EXPECT_EQ(Parse(kQwen, {}, "<tool_call>{\"name\": \"f\"}</tool_call>").text,
            "<tool_call>{\"name\": \"f\"}</tool_call>");
}

TEST(AnswerParserTest, ListsOfCalls) {
  const Parsed list =
      Parse(kMistral, kCalls, R"([TOOL_CALLS][{"name": "f", "arguments": {}}, {"name": "g", "arguments": {"a": 1}}])");
  ASSERT_EQ(list.calls.size(), 2u);
  EXPECT_EQ(list.calls[1].arguments_json, R"({"a":1})");
  const Parsed named = Parse(kMistral, kCalls, R"([TOOL_CALLS]f[ARGS]{"a": 1}[TOOL_CALLS]g[ARGS]{})");
  ASSERT_EQ(named.calls.size(), 2u);
  EXPECT_EQ(named.calls[0].name, "f");
  EXPECT_EQ(named.calls[1].name, "g");
}

TEST(AnswerParserTest, AnswerThatIsACall) {
  const Parsed bare = Parse(kLlama, kCalls, R"({"name": "f", "parameters": {"a": 1}})");
  ASSERT_EQ(bare.calls.size(), 1u);
  EXPECT_EQ(bare.calls[0].arguments_json, R"({"a":1})");
  EXPECT_EQ(Parse(kLlama, kCalls, "<|python_tag|>{\"name\": \"f\", \"parameters\": {}}").calls.size(), 1u);
  EXPECT_EQ(Parse(kLlama, kCalls, "{\"answer\": 7}").text, "{\"answer\": 7}");
  EXPECT_EQ(Parse(kLlama, kCalls, "The set {1}").text, "The set {1}");
}

TEST(AnswerParserTest, SectionsOfCalls) {
  const AnswerSyntax deepseek{"", "", CallForm::kSection, "<calls>", "</calls>", {"<call>", "<sep>", "</call>"}};
  const Parsed fenced = Parse(deepseek, kCalls,
                              "Sure.\n<calls><call>function<sep>f\n```json\n{\"a\": \"}\"}\n```</call>\n"
                              "<call>g<sep>{}</call></calls>");
  EXPECT_EQ(fenced.text, "Sure.\n");
  ASSERT_EQ(fenced.calls.size(), 2u);
  EXPECT_EQ(fenced.calls[0].name, "f");
  EXPECT_EQ(fenced.calls[0].arguments_json, R"({"a":"}"})");
  EXPECT_EQ(fenced.calls[1].name, "g");
  EXPECT_EQ(fenced.reason, v1::FINISH_REASON_TOOL_CALLS);
  // Without its end, and what is none.
  EXPECT_EQ(Parse(deepseek, kCalls, "<calls><call>g<sep>{}").calls.size(), 1u);
  for (const char* none : {"<calls><call>g{}</call></calls>", "<calls><call>g<sep>[]</call></calls>",
                           "<calls><call>function<sep>f\n```</call></calls>", "<calls></calls>"}) {
    EXPECT_EQ(Parse(deepseek, kCalls, none).text, none);
  }
  const std::vector<WrittenCall> kimi =
      ReadCallSection("<call>functions.look:up:0<sep>{\"a\": 1}</call>", deepseek.each_call);
  ASSERT_EQ(kimi.size(), 1u);
  EXPECT_EQ(kimi[0].name, "look:up");
  EXPECT_EQ(kimi[0].id, "functions.look:up:0");
}

TEST(AnswerParserTest, OneCallWhereCallsAreNotParallel) {
  const Parsed parsed =
      Parse(kMistral, {.calls = true, .parallel = false}, R"([TOOL_CALLS][{"name": "f"}, {"name": "g"}])");
  ASSERT_EQ(parsed.calls.size(), 1u);
  EXPECT_EQ(parsed.calls[0].name, "f");
}

TEST(AnswerParserTest, ForcedCalls) {
  const Parsed one = Parse(kLlama, {.forced = true, .forced_function = "f"}, R"({"a": 1})");
  ASSERT_EQ(one.calls.size(), 1u);
  EXPECT_EQ(one.calls[0].name, "f");
  EXPECT_EQ(one.calls[0].arguments_json, R"({"a": 1})");
  const Parsed any =
      Parse(AnswerSyntax(), {.forced = true, .forced_function = ""}, R"({"name": "g", "arguments": {"a": 1}})");
  ASSERT_EQ(any.calls.size(), 1u);
  EXPECT_EQ(any.calls[0].name, "g");
  EXPECT_EQ(any.reason, v1::FINISH_REASON_TOOL_CALLS);
}

// One byte at a time, as far as `answer` goes.
Parsed ParseForced(const std::string& answer, v1::FinishReason reason, std::vector<std::string>* seen) {
  AnswerParser parser(kQwen, {.forced = true});
  Parsed parsed;
  for (size_t at = 0; at <= answer.size(); ++at) {
    v1::GenerateResponse piece;
    piece.set_text_delta(answer.substr(at, 1));
    if (at == answer.size()) piece.mutable_finish()->set_reason(reason);
    parser.Parse(&piece);
    parsed.text += piece.text_delta();
    for (const v1::ToolCallDelta& delta : piece.tool_calls()) {
      if (!delta.name().empty()) parsed.calls.push_back({delta.name(), ""});
      parsed.calls.back().arguments_json += delta.arguments_delta();
      seen->push_back(answer.substr(0, at + 1));
    }
    if (piece.has_finish()) parsed.reason = piece.finish().reason();
  }
  return parsed;
}

TEST(AnswerParserTest, ForcedCallsOfAnyToolStream) {
  std::vector<std::string> seen;
  const std::string head = R"({ "name" : "say \"}\"" , "arguments" : )";
  const std::string arguments = R"({"a": [{"b": "}]\\"}, "\"{"], "c": {}})";
  const Parsed parsed = ParseForced(head + arguments + "\n}", v1::FINISH_REASON_STOP, &seen);
  ASSERT_EQ(parsed.calls.size(), 1u);
  EXPECT_EQ(parsed.calls[0].name, R"(say "}")");
  EXPECT_EQ(parsed.calls[0].arguments_json, arguments);
  EXPECT_EQ(parsed.text, "");
  EXPECT_EQ(parsed.reason, v1::FINISH_REASON_TOOL_CALLS);
  ASSERT_FALSE(seen.empty());
  EXPECT_LE(seen.front().size(), head.size()) << "the name comes before the arguments";
  EXPECT_EQ(seen.size(), 1 + arguments.size()) << "each byte of them as it comes";
}

TEST(AnswerParserTest, ForcedCallsThatAreCut) {
  std::vector<std::string> seen;
  const Parsed in_arguments = ParseForced(R"({"name":"f","arguments":{"a":)", v1::FINISH_REASON_LENGTH, &seen);
  ASSERT_EQ(in_arguments.calls.size(), 1u);
  EXPECT_EQ(in_arguments.calls[0].arguments_json, R"({"a":)");
  EXPECT_EQ(in_arguments.reason, v1::FINISH_REASON_LENGTH);
  const Parsed in_name = ParseForced(R"({"name":"f)", v1::FINISH_REASON_LENGTH, &seen);
  EXPECT_TRUE(in_name.calls.empty());
  EXPECT_EQ(in_name.text, R"({"name":"f)");
}

TEST(AnswerParserTest, ArgumentsThatNestTooDeepAreNoCall) {
  const std::string deep =
      R"({"name": "f", "arguments": {"a": )" + std::string(100'000, '[') + std::string(100'000, ']') + "}}";
  AnswerParser parser(kQwen, kCalls);
  v1::GenerateResponse piece;
  piece.set_text_delta("<tool_call>" + deep + "</tool_call>");
  piece.mutable_finish()->set_reason(v1::FINISH_REASON_STOP);
  parser.Parse(&piece);
  EXPECT_TRUE(piece.tool_calls().empty());
}

TEST(AnswerParserTest, ForcedCallsBehindThoughts) {
  const Parsed parsed = Parse(kQwen, {.thinks = true, .forced = true, .forced_function = "f"}, "Hm.</think>{\"a\": 1}");
  EXPECT_EQ(parsed.reasoning, "Hm.");
  ASSERT_EQ(parsed.calls.size(), 1u);
  EXPECT_EQ(parsed.calls[0].arguments_json, R"({"a": 1})");
}

v1::GenerateRequest WithTools(const std::string& function) {
  v1::GenerateRequest request;
  for (const char* name : {"f", "g"}) {
    request.add_tools()->set_name(name);
  }
  request.mutable_tools(1)->set_parameters_json(
      R"({"type": "object", "properties": {"p": {"$ref": "#/$defs/P"}}, "$defs": {"P": {"type": "string"}}})");
  request.mutable_tool_choice()->set_mode(v1::ToolChoice::REQUIRED);
  request.mutable_tool_choice()->set_function(function);
  return request;
}

TEST(ForcedCallSchemaTest, OfOneFunctionAndOfAny) {
  EXPECT_FALSE(ForcedCallSchema(v1::GenerateRequest())->has_value());
  EXPECT_EQ(**ForcedCallSchema(WithTools("f")), R"({"type":"object","additionalProperties":false})");
  EXPECT_THAT(**ForcedCallSchema(WithTools("g")), HasSubstr(R"("$ref":"#/$defs/P")"));
  EXPECT_EQ(
      **ForcedCallSchema(WithTools("")),
      R"({"anyOf":[{"type":"object","properties":{"name":{"const":"f"},"arguments":{"$ref":"#/$defs/tool0"}},)"
      R"("required":["name","arguments"],"additionalProperties":false},)"
      R"({"type":"object","properties":{"name":{"const":"g"},"arguments":{"$ref":"#/$defs/tool1"}},)"
      R"("required":["name","arguments"],"additionalProperties":false}],)"
      R"("$defs":{"tool0":{"type":"object","additionalProperties":false},)"
      R"("tool1":{"type":"object","properties":{"p":{"$ref":"#/$defs/tool1/$defs/P"}},"$defs":{"P":{"type":"string"}}}}})");
}

TEST(ForcedCallSchemaTest, OneToolNeedsNoName) {
  v1::GenerateRequest request = WithTools("");
  request.mutable_tools()->RemoveLast();
  EXPECT_EQ(ForcedTool(request), 0);
  EXPECT_EQ(**ForcedCallSchema(request), R"({"type":"object","additionalProperties":false})");
  EXPECT_EQ(ForcedTool(WithTools("g")), 1);
  EXPECT_EQ(ForcedTool(WithTools("")), -1);
}

TEST(ForcedCallSchemaTest, OnlyReferencesMove) {
  v1::GenerateRequest request = WithTools("");
  request.mutable_tools(1)->set_parameters_json(
      R"({"type":"object","properties":{"$ref":{"$ref":"#"},"const":{"const":{"$ref":"#/a"}},"x":{"anyOf":[{"$ref":"#/$defs/P"}]}}})");
  EXPECT_THAT(
      **ForcedCallSchema(request),
      HasSubstr(
          R"("tool1":{"type":"object","properties":{"$ref":{"$ref":"#/$defs/tool1"},"const":{"const":{"$ref":"#/a"}},"x":{"anyOf":[{"$ref":"#/$defs/tool1/$defs/P"}]}}})"));
}

TEST(ForcedCallSchemaTest, WhatNestsTooDeepIsRefused) {
  std::string deep;
  for (int i = 0; i < 200'000; ++i) deep += R"({"a":)";
  v1::GenerateRequest request = WithTools("f");
  request.mutable_tools(0)->set_parameters_json(deep + "1" + std::string(200'000, '}'));
  EXPECT_FALSE(ForcedCallSchema(request).ok());
}

}  // namespace
}  // namespace headroom::gateway
