#include "model/structured/structured_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/testing/paths.h"
#include "model/structured/token_grammar.h"

namespace headroom::model {
namespace {

using testing::HasSubstr;

std::string Refusal(const std::string& schema) {
  const auto grammar = GrammarOfSchema(schema);
  if (grammar.ok()) return "accepted";
  EXPECT_EQ(grammar.status().code(), absl::StatusCode::kInvalidArgument) << grammar.status();
  return std::string(grammar.status().message());
}

std::string Shortest(const std::string& schema) {
  const auto grammar = GrammarOfSchema(schema);
  return grammar.ok() ? grammar->shortest : grammar.status().ToString();
}

TEST(StructuredTextTest, WhatCannotBeKeptIsRefusedAtItsPlace) {
  EXPECT_THAT(Refusal(R"({"properties": {"a/b": {"type": "array", "contains": {}}}})"),
              HasSubstr("\"/properties/a~1b/contains\": this keyword is not supported"));
  EXPECT_THAT(Refusal(R"({"requried": ["a"]})"), HasSubstr("\"/requried\": unknown keyword; required may be meant"));
  EXPECT_THAT(Refusal(R"({"anyof": [{}]})"), HasSubstr("anyOf may be meant"));
  EXPECT_THAT(Refusal("{\"\\u0001excludedPattern\": \"a\"}"), HasSubstr("not supported"));
  EXPECT_EQ(Refusal(R"({"readonly": true, "displayName": 1, "type": "null"})"), "accepted");
  EXPECT_THAT(Refusal(R"({"type": "strnig"})"), HasSubstr("\"/type\": must be a type"));
  EXPECT_THAT(Refusal(R"({"uniqueItems": true})"), HasSubstr("/uniqueItems"));
  EXPECT_THAT(Refusal(R"({"type": "string", "pattern": "(?!a)b"})"),
              HasSubstr("/pattern\": pattern, byte 2: look-around"));
  EXPECT_THAT(Refusal(R"({"type": "string", "format": "iri"})"), HasSubstr("/format"));
  EXPECT_THAT(Refusal(R"({"multipleOf": 2.5})"), HasSubstr("/multipleOf\": 2.5"));
  EXPECT_THAT(Refusal(R"({"$ref": "http://example.com/schema"})"), HasSubstr("/$ref"));
  EXPECT_THAT(Refusal(R"({"$ref": "#/definitions/a"})"), HasSubstr("leads to nothing"));
  EXPECT_THAT(Refusal(R"({"items": {"type": "number", "minimum": "1"}})"),
              HasSubstr("/items/minimum\": must be a number"));
  EXPECT_THAT(Refusal("[]"), HasSubstr("no JSON object"));
  EXPECT_THAT(Refusal("{"), HasSubstr("no JSON object"));
  EXPECT_EQ(Refusal(R"({"_uniqueItems": true, "_format": "date", "_required": ["a"], "type": "array"})"), "accepted");
  EXPECT_THAT(Refusal(R"({"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": {"$id": "other",
                          "items": {"$ref": "#/definitions/b"}}}, "definitions": {"b": {}}})"),
              HasSubstr("\"/properties/a/$id\": is supported at the root only, or in a schema without $ref"));
  // Beside what the schema never reaches nothing is looked at.
  EXPECT_EQ(Refusal(R"({"$defs": {"unused": {"contains": 1}}, "type": "null", "x-note": 1})"), "accepted");
}

TEST(StructuredTextTest, LimitsHoldAndOneMoreIsRefused) {
  const auto nested = [](int depth) {
    std::string schema = "{}";
    for (int i = 0; i < depth; ++i) schema = R"({"items": )" + schema + "}";
    return schema;
  };
  EXPECT_EQ(Refusal(nested(16)), "accepted");
  EXPECT_THAT(Refusal(nested(17)), HasSubstr("deeper than 16"));
  const auto properties = [](int count) {
    nlohmann::json schema;
    for (int i = 0; i < count; ++i) schema["properties"]["p" + std::to_string(i)] = true;
    schema["additionalProperties"] = false;
    return schema.dump();
  };
  EXPECT_EQ(Refusal(properties(1000)), "accepted");
  EXPECT_THAT(Refusal(properties(1001)), HasSubstr("more than 1000 properties"));
  const auto values = [](int count) {
    nlohmann::json schema;
    for (int i = 0; i < count; ++i) schema["enum"].push_back(i);
    return schema.dump();
  };
  EXPECT_EQ(Refusal(values(1000)), "accepted");
  EXPECT_THAT(Refusal(values(1001)), HasSubstr("more than 1000 values"));
  EXPECT_THAT(Refusal(R"({"title": ")" + std::string(64 * 1024, 'x') + "\"}"), HasSubstr("limit 65536"));
  EXPECT_THAT(Refusal(R"({"pattern": "a{4097}"})"), HasSubstr("4096"));
  EXPECT_THAT(Refusal(R"({"type": "array", "minItems": 4097})"), HasSubstr("limit 4096"));
  EXPECT_THAT(Refusal(std::string(100'000, '[')), HasSubstr("limit"));
}

TEST(StructuredTextTest, SchemasThatNoTextSatisfiesAreRefused) {
  for (const char* schema :
       {"false", R"({"not": {}})", R"({"type": "integer", "minimum": 3, "maximum": 2})",
        R"({"type": "number", "minimum": 1, "exclusiveMaximum": 1})", R"({"enum": ["a"], "type": "number"})",
        R"({"type": "object", "required": ["a"], "additionalProperties": false})",
        R"({"type": "object", "properties": {"a": false}, "required": ["a"]})",
        R"({"allOf": [{"type": "string"}, {"type": "number"}]})",
        R"({"type": "string", "minLength": 2, "maxLength": 1})",
        R"({"type": "string", "pattern": "^a$", "minLength": 2})",
        R"({"type": "array", "items": false, "minItems": 1})", R"({"type": "array", "minItems": 3, "maxItems": 1})",
        R"({"type": "object", "minProperties": 2, "maxProperties": 0})",
        R"({"type": "object", "required": ["a", "b"], "minProperties": 2, "maxProperties": 0})",
        R"({"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]})"}) {
    EXPECT_THAT(Refusal(schema), HasSubstr("no JSON text")) << schema;
  }
}

TEST(StructuredTextTest, ShortestTextIsKnownBeforeAnyWork) {
  EXPECT_EQ(Shortest(R"({"type": "object"})"), "{}");
  EXPECT_EQ(
      Shortest(R"({"type": "object", "properties": {"a": {"type": "string", "minLength": 2}}, "required": ["a"]})"),
      R"({"a":"  "})");
  EXPECT_EQ(Shortest(R"({"enum": ["long one", 7, "x"]})"), "7");
  EXPECT_EQ(Shortest(R"({"type": "integer", "minimum": 1000})"), "1000");
  EXPECT_EQ(Shortest(R"({"type": "array", "items": {"const": 1}, "minItems": 3})"), "[1,1,1]");
}

TEST(StructuredTextTest, HostileSchemasEndSoon) {
  const auto list = [](const std::string& keyword, const std::string& one, int count) {
    std::string schema = "{\"" + keyword + "\": [" + one;
    for (int i = 1; i < count; ++i) schema += "," + one;
    return schema + "]}";
  };
  EXPECT_EQ(Refusal(list("prefixItems", "{}", 15'000)), "accepted");
  EXPECT_THAT(Refusal(list("oneOf", R"({"maxLength":4096})", 2'000)), HasSubstr("JSON schema"));
  EXPECT_THAT(Refusal(list("oneOf", R"({"pattern":"a"})", 2'000)), HasSubstr("JSON schema"));
  EXPECT_THAT(Refusal(R"({"pattern": "^((a{0,4096}){0,4096}){0,4096}$", "maxLength": 9})"), HasSubstr("4000 states"));
  EXPECT_THAT(Refusal(R"({"type": "array", "minItems": 4096, "items": {"type": "array", "minItems": 4096}})"),
              HasSubstr("65536 bytes"));
  EXPECT_THAT(Refusal(R"({"$ref": "#"})"), HasSubstr("JSON schema"));
  // Options that overlap and hold the whole again: to compare them is to compare them.
  EXPECT_THAT(Refusal(R"({"oneOf": [{"type": "array", "items": {"$ref": "#"}},
                                    {"type": ["array", "null"], "items": {"$ref": "#"}}]})"),
              HasSubstr("cannot be negated"));
  EXPECT_EQ(Refusal(R"({"oneOf": [{"type": "array", "items": {"$ref": "#"}}, {"type": "null"}]})"), "accepted");
  EXPECT_THAT(
      Refusal(R"({"oneOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}, "b": false}},
                                    {"items": {"oneOf": [{"$ref": "#"}, {"items": {"$ref": "#"}}]}}]})"),
      HasSubstr("JSON schema"));
  EXPECT_THAT(Refusal(R"({"anyOf": [{"$ref": "#"}, {"allOf": [{"$ref": "#"}]}]})"), HasSubstr("JSON schema"));
}

// The gate's grammars at work: needs the library.
class GrammarTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!TokenGrammarCompiler::IsAvailable()) GTEST_SKIP() << "built without xgrammar";
    auto tokenizer = Tokenizer::FromDirectory(SourceDir() + "/models/demo");
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = *std::move(tokenizer);
    end_ = *tokenizer_->TokenId("<|im_end|>");
    auto compiler = TokenGrammarCompiler::Create(*tokenizer_, tokenizer_->vocab_size() + 7);
    ASSERT_TRUE(compiler.ok()) << compiler.status();
    compiler_ = *std::move(compiler);
  }

  // Every token must be allowed by the mask before it, and the end at last.
  bool Admits(const std::string& schema, const std::string& text) {
    const auto grammar = GrammarOfSchema(schema);
    EXPECT_TRUE(grammar.ok()) << schema << ": " << grammar.status();
    if (!grammar.ok()) return false;
    const auto compiled = compiler_->Compile(grammar->ebnf);
    EXPECT_TRUE(compiled.ok()) << schema << "\n" << grammar->ebnf;
    if (!compiled.ok()) return false;
    auto matcher = compiler_->Match(*compiled, std::vector<int32_t>{end_});
    std::vector<int32_t> ids = *tokenizer_->Encode(text, AddedTokens::kNone);
    ids.push_back(end_);
    std::vector<uint32_t> mask(static_cast<size_t>(tokenizer_->vocab_size() + 7 + 31) / 32);
    for (const int32_t id : ids) {
      EXPECT_TRUE((*matcher)->Fill(mask).ok());
      const bool allowed = (mask[static_cast<size_t>(id) / 32] >> (id % 32) & 1) != 0;
      EXPECT_EQ((*matcher)->Accept(id).ok(), allowed) << schema << " " << text << " token " << id;
      if (!allowed) return false;
    }
    return true;
  }
  void Expect(const std::string& schema, const std::vector<std::string>& valid,
              const std::vector<std::string>& invalid) {
    for (const std::string& text : valid) EXPECT_TRUE(Admits(schema, text)) << schema << "\n" << text;
    for (const std::string& text : invalid) EXPECT_FALSE(Admits(schema, text)) << schema << "\n" << text;
  }

  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<TokenGrammarCompiler> compiler_;
  int32_t end_ = 0;
};

TEST_F(GrammarTest, ObjectsAndArrays) {
  Expect(
      R"({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "boolean"}}, "required": ["b"], "additionalProperties": false})",
      {R"({"a": 1, "b": true})", R"({"b":false})", "{\n  \"b\": true\n}"},
      {"{}", R"({"a": 1})", R"({"b": true, "c": 1})", R"({"b": 1})", R"({"b": true,})"});
  Expect(R"({"type": "object", "properties": {"ab": {"type": "null"}}})",
         {R"({"ab": null, "a": 1, "abc": 2, "b": [1]})", "{}"},
         {R"({"ab": 1})", R"({"a": 1, "ab": 1})", R"({"c": 1, "ab": null})"});
  Expect(
      R"({"type": "object", "patternProperties": {"^x": {"type": "integer"}}, "additionalProperties": {"type": "string"}})",
      {R"({"xa": 1, "b": "s", "x": 2})"}, {R"({"xa": "s"})", R"({"b": 1})"});
  Expect(R"({"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1, "maxProperties": 2})",
         {R"({"a": 1})", R"({"a": 1, "b": 2})"}, {"{}", R"({"a": 1, "b": 2, "c": 3})"});
  Expect(
      R"({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": {"type": "null"}, "maxItems": 3})",
      {"[]", "[1]", "[1, \"a\"]", "[1, \"a\", null]"},
      {"[\"a\"]", "[1, 2]", "[1, \"a\", 1]", "[1, \"a\", null, null]"});
  Expect(R"({"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3})", {"[1,2]", "[1, 2, 3]"},
         {"[]", "[1]", "[1,2,3,4]"});
}

TEST_F(GrammarTest, NumbersWithinBounds) {
  Expect(R"({"type": "integer", "minimum": -3, "maximum": 120})", {"-3", "0", "7", "99", "120", "100"},
         {"-4", "121", "007", "1.0", "1200", "-30"});
  Expect(R"({"type": "number", "exclusiveMinimum": 0.5, "maximum": 2.25})",
         {"0.51", "0.500001", "1", "1.99", "2.25", "2.250", "2.1"},
         {"0.5", "0.50", "0", "-1", "2.251", "2.3", "3", "1e0"});
  Expect(R"({"type": "number", "minimum": -1.5, "maximum": -0.5})", {"-1.5", "-1", "-0.5", "-0.75"},
         {"-1.51", "-0.4", "0", "1", "-2"});
  Expect(R"({"type": "integer", "multipleOf": 7, "minimum": 10})", {"14", "21", "700"}, {"7", "15", "0"});
  Expect(R"({"type": "number", "multipleOf": 0.01})", {"1.25", "3", "0.1"}, {"1.255"});
}

TEST_F(GrammarTest, StringsPatternsAndFormats) {
  Expect(R"({"type": "string", "minLength": 1, "maxLength": 2})", {R"("a")", R"("é\n")", R"("\u00e9a")"},
         {R"("")", R"("abc")", R"("\ud800")"});
  Expect(R"({"type": "string", "pattern": "^[a-c]+$", "maxLength": 3})", {R"("abc")"},
         {R"("abca")", R"("d")", R"("")"});
  Expect(R"({"type": "string", "pattern": "b"})", {R"("abc")", R"("b")"}, {R"("ac")"});
  Expect(R"({"type": "string", "pattern": "^\\d{2}|x$"})", {R"("12ab")", R"("abx")"}, {R"("1a")"});
  Expect(R"({"type": "string", "format": "date"})", {R"("2024-02-29")", R"("1999-12-31")"},
         {R"("2023-02-29")", R"("2024-13-01")", R"("2024-04-31")"});
  Expect(R"({"type": "string", "format": "ipv4"})", {R"("10.0.255.1")"}, {R"("10.0.256.1")", R"("1.2.3")"});
}

TEST_F(GrammarTest, Combinators) {
  Expect(
      R"({"anyOf": [{"required": ["a"]}, {"required": ["b"]}], "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "type": "object"})",
      {R"({"a": 1})", R"({"b": 1})", R"({"a": 1, "b": 2})"}, {"{}", R"({"c": 1})"});
  Expect(R"({"oneOf": [{"required": ["a"]}, {"required": ["b"]}], "type": "object"})",
         {R"({"a": 1})", R"({"b": 1, "c": 2})"}, {"{}", R"({"a": 1, "b": 2})"});
  Expect(R"({"type": "number", "oneOf": [{"maximum": 5}, {"minimum": 2}]})", {"1", "5.5"}, {"3", "2", "5"});
  Expect(R"({"allOf": [{"minimum": 2}, {"maximum": 4}, {"type": "integer"}]})", {"2", "4"}, {"1", "5", "\"a\""});
  Expect(R"({"type": "string", "not": {"enum": ["a", "ab"]}})", {R"("b")", R"("abc")", R"("")"}, {R"("a")", R"("ab")"});
  Expect(
      R"({"type": "object", "properties": {"k": {"enum": ["x", "y"]}}, "required": ["k"], "if": {"properties": {"k": {"const": "x"}}}, "then": {"required": ["v"]}})",
      {R"({"k": "x", "v": 1})", R"({"k": "y"})"}, {R"({"k": "x"})"});
  Expect(R"({"type": "object", "dependentRequired": {"a": ["b"]}})", {"{}", R"({"b": 1})", R"({"a": 1, "b": 1})"},
         {R"({"a": 1})"});
  Expect(
      R"({"type": "object", "properties": {"v": {"type": "integer"}, "next": {"$ref": "#"}}, "additionalProperties": false})",
      {R"({"v": 1, "next": {"next": {"v": 2}}})"}, {R"({"next": {"v": "a"}})"});
  Expect(R"({"const": {"a": [1, "x"]}})", {R"({"a": [1, "x"]})"}, {R"({"a": [1]})"});
}

TEST_F(GrammarTest, WhatSaysNothingHasNoEffect) {
  Expect(R"({"type": "array", "items": {"type": "string", "_format": "date"}, "_uniqueItems": true})",
         {R"(["a", "a"])"}, {R"([1])"});
  // A URI of its own, under which there is no reference, changes nothing: in the old drafts' word and in the new one.
  for (const std::string id : {"id", "$id"}) {
    Expect(R"({"$schema": "http://json-schema.org/draft-04/schema#", "id": "http://example.com/root.json",
               "type": "object", "required": ["a"], "additionalProperties": false, "properties": {
                 "a": {")" +
               id + R"(": "/properties/a", "type": "integer", "maximum": 9},
                 "b": {"$ref": "#/properties/a"}}})",
           {R"({"a": 9, "b": 1})"}, {R"({"a": 10})", R"({"a": 1, "b": 10})", R"({"a": "1"})"});
  }
}

TEST_F(GrammarTest, EndIsAllowedOnlyWhereTheTextIsComplete) {
  const auto grammar = GrammarOfObjects();
  ASSERT_TRUE(grammar.ok()) << grammar.status();
  const auto compiled = compiler_->Compile(grammar->ebnf);
  ASSERT_TRUE(compiled.ok());
  EXPECT_GT((*compiled)->bytes(), 0);
  auto matcher = *compiler_->Match(*compiled, std::vector<int32_t>{end_});
  std::vector<uint32_t> mask(static_cast<size_t>(tokenizer_->vocab_size() + 7 + 31) / 32);
  const auto allows = [&mask](int32_t id) { return (mask[static_cast<size_t>(id) / 32] >> (id % 32) & 1) != 0; };
  const std::vector<int32_t> ids = *tokenizer_->Encode("{}", AddedTokens::kNone);
  for (const int32_t id : ids) {
    ASSERT_TRUE(matcher->Fill(mask).ok());
    EXPECT_FALSE(allows(end_));
    EXPECT_FALSE(matcher->only_end_is_left());
    // Rows beyond the tokenizer are never allowed.
    for (int32_t padded = 0; padded < 7; ++padded) EXPECT_FALSE(allows(tokenizer_->vocab_size() + padded));
    EXPECT_FALSE(matcher->Accept(end_).ok());
    ASSERT_TRUE(matcher->Accept(id).ok());
  }
  ASSERT_TRUE(matcher->Fill(mask).ok());
  EXPECT_TRUE(allows(end_));
  EXPECT_TRUE(matcher->only_end_is_left());
  EXPECT_TRUE(matcher->Accept(end_).ok());
  EXPECT_FALSE(matcher->Accept(end_).ok());
  EXPECT_FALSE(compiler_->Match(*compiled, std::vector<int32_t>{}).ok());
  EXPECT_EQ(compiler_->Compile("root ::= nothing").status().message(), "the grammar library failed");
}

}  // namespace
}  // namespace headroom::model
