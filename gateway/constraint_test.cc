// What is held to a schema, what is refused instead, and in which words.
#include "gateway/constraint.h"

#include <gmock/gmock.h>

#include <functional>

#include "common/field_error.h"
#include "common/testing/paths.h"

namespace headroom::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kGolden = SourceDir() + "/tests/golden/minicpmv";

class ConstraintTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto loaded = ServedModel::Load(kGolden);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    model_ = *std::move(loaded);
    model_->constrains = true;
  }

  static v1::GenerateRequest WithSchema(const std::string& schema) {
    v1::GenerateRequest request;
    request.mutable_response_format()->set_json_schema(schema);
    return request;
  }
  static v1::GenerateRequest Forced(const std::vector<std::pair<std::string, std::string>>& tools,
                                    const std::string& function = "") {
    v1::GenerateRequest request;
    for (const auto& [name, parameters] : tools) {
      request.add_tools()->set_name(name);
      request.mutable_tools(request.tools_size() - 1)->set_parameters_json(parameters);
    }
    request.mutable_tool_choice()->set_mode(v1::ToolChoice::REQUIRED);
    request.mutable_tool_choice()->set_function(function);
    return request;
  }
  // "FIELD| words", as it is refused.
  std::string Refusal(const v1::GenerateRequest& request) {
    const auto constraint = ResolveConstraint(request, *model_);
    if (constraint.ok()) return "accepted";
    EXPECT_EQ(constraint.status().code(), absl::StatusCode::kInvalidArgument);
    return FieldOf(constraint.status()) + "| " + std::string(constraint.status().message());
  }
  Constraint Resolve(const v1::GenerateRequest& request) {
    const auto constraint = ResolveConstraint(request, *model_);
    EXPECT_TRUE(constraint.ok() && constraint->has_value()) << constraint.status();
    return constraint.ok() && constraint->has_value() ? **constraint : Constraint();
  }

  std::unique_ptr<ServedModel> model_;
};

TEST_F(ConstraintTest, OfAFormat) {
  const auto none = ResolveConstraint(v1::GenerateRequest(), *model_);
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_FALSE(none->has_value());
  EXPECT_EQ(ConstraintBytes(v1::GenerateRequest()), 0);

  const std::string schema = R"({"type": "array", "items": {"const": 7}, "minItems": 2})";
  const Constraint constraint = Resolve(WithSchema(schema));
  EXPECT_EQ(constraint.grammar.json_schema(), schema);
  EXPECT_EQ(constraint.shortest, "[7,7]");
  EXPECT_GT(ConstraintBytes(WithSchema(schema)), 0);

  v1::GenerateRequest object;
  object.mutable_response_format()->set_json_object(true);
  EXPECT_TRUE(Resolve(object).grammar.json_object());
  EXPECT_EQ(Resolve(object).shortest, "{}");
}

TEST_F(ConstraintTest, FormatsThatCannotBeKept) {
  EXPECT_THAT(Refusal(WithSchema(R"({"properties": {"a": {"contains": {}}}})")),
              HasSubstr("response_format.json_schema| response_format.json_schema: JSON schema, "
                        "\"/properties/a/contains\""));
  EXPECT_THAT(Refusal(WithSchema(R"({"type": "object", "required": ["a"], "additionalProperties": false})")),
              HasSubstr("response_format.json_schema|"));
  EXPECT_THAT(Refusal(WithSchema("{")), HasSubstr("response_format.json_schema|"));
  EXPECT_THAT(Refusal(WithSchema(R"({"description": ")" + std::string(70'000, 'x') + R"("})")), HasSubstr("65536"));
  v1::GenerateRequest request;
  request.mutable_response_format();
  EXPECT_THAT(Refusal(request), HasSubstr("response_format| response_format: has neither"));
  request.mutable_response_format()->set_json_object(false);
  EXPECT_THAT(Refusal(request), HasSubstr("response_format.json_object|"));
}

TEST_F(ConstraintTest, OfAForcedCall) {
  const Constraint one = Resolve(Forced({{"f", R"({"properties": {"a": {"type": "null"}}, "required": ["a"]})"}}));
  EXPECT_EQ(one.grammar.json_schema(), R"({"properties":{"a":{"type":"null"}},"required":["a"],"type":"object"})");
  EXPECT_EQ(one.shortest, R"({"a":null})");
  EXPECT_EQ(Resolve(Forced({{"f", ""}, {"g", ""}}, "g")).shortest, "{}");
  EXPECT_EQ(Resolve(Forced({{"longer", ""}, {"g", ""}})).shortest, R"({"name":"g","arguments":{}})");
  // A format is of a text, and there is none.
  v1::GenerateRequest both = Forced({{"f", ""}});
  both.mutable_response_format()->set_json_object(true);
  EXPECT_FALSE(Resolve(both).grammar.json_object());
}

TEST_F(ConstraintTest, ToolsThatCannotBeKeptAreNamed) {
  const std::string bad = R"({"type": "object", "properties": {"b": {"contains": {}}}})";
  const std::string place = "tools[1].parameters_json: JSON schema, \"/properties/b/contains\"";
  EXPECT_THAT(Refusal(Forced({{"f", ""}, {"g", bad}})), HasSubstr("tools[1].parameters_json| " + place));
  EXPECT_THAT(Refusal(Forced({{"f", ""}, {"g", bad}}, "g")), HasSubstr("tools[1].parameters_json| " + place));
  EXPECT_EQ(Refusal(Forced({{"f", ""}, {"g", bad}}, "f")), "accepted") << "the other one is not called";
  EXPECT_THAT(Refusal(Forced({{"f", "[]"}})), HasSubstr("tools[0].parameters_json|"));
  std::string deep;
  for (int i = 0; i < 200'000; ++i) deep += R"({"a":)";
  EXPECT_THAT(Refusal(Forced({{"f", deep + "1" + std::string(200'000, '}')}})), HasSubstr("nests deeper"));
  EXPECT_THAT(Refusal(Forced({{"f", R"({"type": "string"})"}})), HasSubstr("its type must be object"));
  EXPECT_THAT(Refusal(Forced({{"f", ""}, {"f", ""}})), HasSubstr("tools[1].name|"));
  EXPECT_THAT(Refusal(Forced({{"f", ""}}, "h")), HasSubstr("tool_choice| tool_choice: no tool has the name 'h'"));
  EXPECT_THAT(Refusal(Forced({})), HasSubstr("tool_choice|"));
}

TEST_F(ConstraintTest, WhatEndsATextEarlyIsExcluded) {
  const std::pair<const char*, std::function<void(v1::GenerateRequest&)>> fields[] = {
      {"stop", [](auto& r) { r.add_stop("x"); }},
      {"stop_token_ids", [](auto& r) { r.add_stop_token_ids(5); }},
      {"min_tokens", [](auto& r) { r.set_min_tokens(3); }},
      {"ignore_eos", [](auto& r) { r.set_ignore_eos(true); }},
  };
  for (const auto& [field, set] : fields) {
    for (v1::GenerateRequest request : {WithSchema("{}"), Forced({{"f", ""}})}) {
      set(request);
      EXPECT_THAT(Refusal(request), HasSubstr(std::string(field) + "| ")) << field;
    }
  }
  v1::GenerateRequest with_tools = WithSchema("{}");
  with_tools.add_tools()->set_name("f");
  EXPECT_THAT(Refusal(with_tools), HasSubstr("response_format| "));
  with_tools.mutable_tool_choice()->set_mode(v1::ToolChoice::NONE);
  EXPECT_EQ(Refusal(with_tools), "accepted");
}

TEST_F(ConstraintTest, WhereNothingIsConstrained) {
  model_->constrains = false;
  EXPECT_THAT(Refusal(WithSchema("{}")), HasSubstr("response_format| "));
  EXPECT_THAT(Refusal(WithSchema("{}")), HasSubstr("tools/fetch-xgrammar"));
  EXPECT_THAT(Refusal(Forced({{"f", ""}})), HasSubstr("tool_choice| "));
  EXPECT_TRUE(ResolveConstraint(v1::GenerateRequest(), *model_).ok());
}

TEST_F(ConstraintTest, ShortestTextMustFit) {
  Constraint constraint = Resolve(WithSchema(R"({"const": "one two three"})"));
  const auto tokens =
      static_cast<int64_t>(model_->tokenizer->Encode("\"one two three\"", model::AddedTokens::kNone)->size());
  EXPECT_TRUE(CheckRoomForText(constraint, *model_, tokens).ok());
  const absl::Status short_by_one = CheckRoomForText(constraint, *model_, tokens - 1);
  EXPECT_EQ(FieldOf(short_by_one), "max_tokens");
  EXPECT_EQ(short_by_one.message(),
            absl::StrCat("max_tokens: is ", tokens - 1, "; the shortest answer that response_format allows has ",
                         tokens, " tokens"));
  constraint.grammar.add_after_ids(1);
  EXPECT_FALSE(CheckRoomForText(constraint, *model_, tokens).ok()) << "the mark is in the answer, too";
}

TEST_F(ConstraintTest, BeginsBehindThoughtsWhoseEndIsAToken) {
  Constraint constraint;
  model_->answer_syntax = {"<think>", "</no such token>", CallForm::kNone, "", ""};
  EXPECT_FALSE(BeginBehindThoughts(*model_, &constraint));
  EXPECT_TRUE(constraint.grammar.after_ids().empty());
  model_->answer_syntax.reasoning_end = "<|im_end|>";
  EXPECT_TRUE(BeginBehindThoughts(*model_, &constraint));
  EXPECT_THAT(constraint.grammar.after_ids(), ElementsAre(*model_->tokenizer->TokenId("<|im_end|>")));
}

}  // namespace
}  // namespace headroom::gateway
