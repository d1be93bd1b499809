#include "common/utf8.h"

#include <gtest/gtest.h>

namespace headroom {
namespace {

TEST(Utf8Test, CountsCharacters) {
  EXPECT_EQ(CountCharacters(""), 0u);
  EXPECT_EQ(CountCharacters("a·€😀"), 4u);
}

TEST(Utf8Test, FindsTheStartOfACharacter) {
  const std::string text = "a€b";
  EXPECT_EQ(CharacterStart(text, 0), 0u);
  for (size_t at = 1; at < 4; ++at) EXPECT_EQ(CharacterStart(text, at), 1u) << at;
  EXPECT_EQ(CharacterStart(text, 4), 4u);
  EXPECT_EQ(CharacterStart("\x80\x80", 1), 0u) << "no start at all";
}

TEST(Utf8Test, CutsBetweenCharacters) {
  EXPECT_EQ(CutText("abc", 3), "abc");
  EXPECT_EQ(CutText("abcd", 3), "abc");
  EXPECT_EQ(CutText("abc", 0), "");
  const std::string text = "a😀é€";
  for (size_t bytes = 0; bytes <= text.size() + 1; ++bytes) {
    const std::string cut = CutText(text, bytes);
    EXPECT_TRUE(IsValidUtf8(cut)) << bytes;
    EXPECT_LE(cut.size(), bytes);
    EXPECT_GT(cut.size() + 4, std::min(bytes, text.size())) << "no more than a character is lost";
    EXPECT_EQ(cut, text.substr(0, cut.size()));
  }
}

}  // namespace
}  // namespace headroom
