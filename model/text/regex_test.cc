#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "model/text/regex_syntax.h"
#include "model/text/split_regex.h"

namespace headroom::model {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> Pieces(const std::string& oniguruma, const std::string& text) {
  std::vector<std::string> pieces;
  const auto translated = TranslateOniguruma(oniguruma);
  EXPECT_TRUE(translated.ok()) << translated.status();
  if (!translated.ok()) return pieces;
  const auto regex = SplitRegex::Compile(*translated);
  EXPECT_TRUE(regex.ok()) << regex.status() << " " << *translated;
  if (!regex.ok()) return pieces;
  const absl::Status status = regex->Split(text, [&](std::string_view piece) {
    pieces.emplace_back(piece);
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
  return pieces;
}

// The results of tokenizers 0.23.3 for the same patterns and texts.
TEST(RegexTest, MatchesAsOnigurumaDoes) {
  EXPECT_THAT(Pieces("^a", "ab\nab\n"), ElementsAre("a", "b\n", "a", "b\n"));
  EXPECT_THAT(Pieces("b$", "ab\nab\n"), ElementsAre("a", "b", "\na", "b", "\n"));
  EXPECT_THAT(Pieces(R"(\s)", "a\u180eb\u0085c\u200bd"), ElementsAre("a\u180eb", "\u0085", "c\u200bd"));
  EXPECT_THAT(Pieces("a{1,2}+", "aaaaa"), ElementsAre("aaaaa"));
  EXPECT_THAT(Pieces("a{,2}", "aaaaa"), ElementsAre("aa", "aa", "a"));
  EXPECT_THAT(Pieces("(?i:'s)|x", "a'\u017fb'S"), ElementsAre("a", "'\u017f", "b", "'S"));
  EXPECT_THAT(Pieces(R"(\W{2,3}+)", "4\u00b2 \u0348"), ElementsAre("4\u00b2 \u0348"));
  EXPECT_THAT(Pieces(R"(\p{Han})", "a\u6f22\u3001b"), ElementsAre("a", "\u6f22", "\u3001b"));
}

TEST(RegexTest, EmptyMatchesOnlyCut) {
  EXPECT_THAT(Pieces("x*", "axxb"), ElementsAre("a", "xx", "b"));
  EXPECT_THAT(Pieces("", "a\u00e9\u6f22"), ElementsAre("a", "\u00e9", "\u6f22"));
  EXPECT_THAT(Pieces("b", ""), ElementsAre());
  EXPECT_THAT(Pieces("q", "abc"), ElementsAre("abc"));
}

TEST(RegexTest, ClassesAndAssertions) {
  EXPECT_THAT(Pieces(R"([^\s\p{L}\p{N}]+)", "ab!?1 c"), ElementsAre("ab", "!?", "1 c"));
  EXPECT_THAT(Pieces(R"([\S])", "a b"), ElementsAre("a", " ", "b"));
  EXPECT_THAT(Pieces(R"([a\-z\]]+)", "xa-]b"), ElementsAre("x", "a-]", "b"));
  EXPECT_THAT(Pieces(R"(\bfoo\B)", "foo foot"), ElementsAre("foo ", "foo", "t"));
  EXPECT_THAT(Pieces(R"((?<=a)b(?!c)|(?>d|de)e)", "abcabdde"), ElementsAre("abca", "b", "d", "de"));
}

// As tokenizers 0.23.3 does.
TEST(RegexTest, ClassesInsideClasses) {
  EXPECT_THAT(Pieces("[a[bc]]+", "xabcx"), ElementsAre("x", "abc", "x"));
  EXPECT_THAT(Pieces("[a-z&&[^b]]+", "aabaz"), ElementsAre("aa", "b", "az"));
  EXPECT_THAT(Pieces("[^a[bc]]+", "xabcx"), ElementsAre("x", "abc", "x"));
  EXPECT_THAT(Pieces("[^a-c&&b-d]+", "abcdx"), ElementsAre("a", "bc", "dx"));
  EXPECT_THAT(Pieces("[[a][b]]", "abc"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(Pieces(R"([^\W\d]+)", "ab1 c"), ElementsAre("ab", "1 ", "c"));
  EXPECT_THAT(Pieces("[a-z&&[^b]&&[^c]]+", "abcd"), ElementsAre("a", "bc", "d"));
  EXPECT_THAT(Pieces(R"([\w&&[^_]]+)", "a_b"), ElementsAre("a", "_", "b"));
  EXPECT_FALSE(TranslateOniguruma(std::string(200, '[') + "a" + std::string(200, ']')).ok());
}

TEST(RegexTest, RefusesWhatMeansSomethingElse) {
  for (const char* pattern :
       {R"((a)\1)",  "[a&&]",      "[&&a]",     "[[:alpha:]]", "[a-[b]]",        "(?i)a",  "(?<name>a)", "a{2}?",
        "a{2}{3}",   "a**",        "(?i:ss)",   "(?i:\u00df)", R"((?i:\p{Lu}))", R"(\h)",  R"(\x{41})",  R"(\xff)",
        R"(\u0041)", R"(\p{Any})", R"(\p{^L})", R"(\pL)",      R"(\G)",          R"(\K)",  "(a",         "a)",
        "[a",        "[]a]",       "[z-a]",     "{2}",         "a{3,2}",         "a{2",    "a{1001}",    "*",
        "(?=a)*",    "(?#x)",      "(*ACCEPT)", "\\",          R"(\x-5)",        "a{-0,3}"}) {
    EXPECT_EQ(TranslateOniguruma(pattern).status().code(), absl::StatusCode::kInvalidArgument) << pattern;
  }
  EXPECT_FALSE(TranslateOniguruma(std::string(200, '(') + std::string(200, ')')).ok());
}

TEST(RegexTest, TextThatNeedsTooManyStepsIsAnError) {
  const auto regex = SplitRegex::Compile(*TranslateOniguruma("(?:(?:a|aa)+)+[bc]"));
  ASSERT_TRUE(regex.ok());
  const absl::Status status = regex->Split(std::string(60, 'a'), [](std::string_view) { return absl::OkStatus(); });
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace headroom::model
