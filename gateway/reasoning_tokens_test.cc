#include "gateway/reasoning_tokens.h"

#include <gtest/gtest.h>

namespace headroom::gateway {
namespace {

const AnswerSyntax kThinks{"<think>", "</think>", CallForm::kNone, "", ""};

int64_t Count(const std::vector<std::string>& tokens, bool begun = false, const AnswerSyntax& syntax = kThinks) {
  ReasoningTokens reasoning(syntax, begun);
  for (const std::string& token : tokens) reasoning.Add(token);
  return reasoning.count();
}

TEST(ReasoningTokensTest, MarksAreAmongThem) {
  EXPECT_EQ(Count({"<think>", "Let", " me", "</think>", "Yes", "."}), 4);
  EXPECT_EQ(Count({"\n", "<think>", "a", "</think>"}), 4);
  EXPECT_EQ(Count({"<think>", "still at it"}), 2);
}

TEST(ReasoningTokensTest, MarksMayBeSeveralTokens) {
  EXPECT_EQ(Count({"<", "thi", "nk>", "a", "</th", "ink", ">So", " yes"}), 7);
  EXPECT_EQ(Count({"<think>", "</", "", "think", ">"}), 5);  // a token may add nothing
  EXPECT_EQ(Count({"<think>", "</think", "/think></thin", "k>", "b"}), 4);
}

TEST(ReasoningTokensTest, ThePromptMayHaveBegunIt) {
  EXPECT_EQ(Count({"Hm", ".</think>", "So"}, /*begun=*/true), 2);
  EXPECT_EQ(Count({"Hm", "."}, /*begun=*/true), 2);
}

TEST(ReasoningTokensTest, WhatDoesNotBeginWithItIsText) {
  EXPECT_EQ(Count({"No ", "<think>", "a", "</think>"}), 0);
  EXPECT_EQ(Count({"<th", "e end"}), 0);
  EXPECT_EQ(Count({"<th"}), 0);  // the end
  EXPECT_EQ(Count({"<think>", "a"}, /*begun=*/true, {}), 0);
}

}  // namespace
}  // namespace headroom::gateway
