#include "model/text/detokenizer.h"

#include <gmock/gmock.h>

#include "common/utf8.h"
#include "model/text/testing.h"

namespace headroom::model {
namespace {

using ::testing::ElementsAre;

TEST(DetokenizerTest, HoldsBackUnfinishedCharacters) {
  const auto tokenizer = LoadOrDie(SmallTokenizerJson({}, "."));  // one id a byte
  Detokenizer stream(tokenizer.get(), false);
  std::vector<std::string> texts;
  for (int32_t byte : {0x61, 0xF0, 0x9F, 0x98, 0x80, 0xC3, 0xA9, 0x62}) texts.push_back(stream.Add(byte));
  EXPECT_THAT(texts, ElementsAre("a", "", "", "", "\U0001F600", "", "\u00e9", "b"));
  EXPECT_EQ(stream.Flush(), "");
}

TEST(DetokenizerTest, BadBytesBecomeReplacementCharacters) {
  const auto tokenizer = LoadOrDie(SmallTokenizerJson({}, "."));
  Detokenizer stream(tokenizer.get(), false);
  std::vector<std::string> texts;
  for (int32_t byte : {0xE2, 0x82, 0x78, 0x80, 0xF0, 0x9F}) texts.push_back(stream.Add(byte));
  texts.push_back(stream.Flush());
  EXPECT_THAT(texts, ElementsAre("", "", "\uFFFDx", "\uFFFD", "", "", "\uFFFD"));
  EXPECT_EQ(stream.Add('y') + stream.Flush(), "y");
}

TEST(DetokenizerTest, EqualsDecodeOfAll) {
  const auto tokenizer = GoldenTokenizer();
  auto generator = SeededGenerator();
  for (int i = 0; i < 2000; ++i) {
    const bool skip_special = i % 2 == 0;
    std::vector<int32_t> ids(generator() % 30);
    for (int32_t& id : ids) id = static_cast<int32_t>(generator() % 1230);
    Detokenizer stream(tokenizer.get(), skip_special);
    std::string all;
    for (int32_t id : ids) {
      const std::string text = stream.Add(id);
      EXPECT_TRUE(IsValidUtf8(text));
      all += text;
    }
    EXPECT_EQ(all + stream.Flush(), tokenizer->Decode(ids, skip_special));
  }
}

// Rust's String::from_utf8_lossy: one U+FFFD for each maximal prefix of a well-formed sequence.
TEST(Utf8Test, LossyAsInRust) {
  const auto lossy = [](const std::string& bytes) {
    std::string text;
    Utf8Stream stream;
    stream.Feed(bytes, &text);
    stream.Finish(&text);
    return text;
  };
  const std::string r = "\uFFFD";
  EXPECT_EQ(lossy("\xF0\x9F\x92"), r);
  EXPECT_EQ(lossy("\xC0\x80"), r + r);
  EXPECT_EQ(lossy("\xE0\x80\x80"), r + r + r);
  EXPECT_EQ(lossy("\xED\xA0\x80"), r + r + r);
  EXPECT_EQ(lossy("\xF4\x90\x80\x80"), r + r + r + r);
  EXPECT_EQ(lossy("\xF0\x9F\x41"), r + "A");
  EXPECT_EQ(lossy("\xE2\x82\xE2\x82\xAC\xFF"), r + "\u20AC" + r);
  EXPECT_EQ(lossy("Hello \xF0\x90\x80World"), "Hello " + r + "World");
}

TEST(Utf8Test, TrimsAsPythonDoes) {
  EXPECT_EQ(TrimWhiteSpace("\x1f \t\u00a0a b\u3000\u2028\n"), "a b");
  EXPECT_EQ(TrimWhiteSpace(" \n"), "");
  EXPECT_EQ(TrimWhiteSpace("\u200bx"), "\u200bx");
}

}  // namespace
}  // namespace headroom::model
