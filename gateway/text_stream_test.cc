#include "gateway/text_stream.h"

#include <gtest/gtest.h>

#include "common/random.h"
#include "common/testing/paths.h"
#include "common/testing/seeded_random.h"

namespace headroom::gateway {
namespace {

class TextStreamTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto loaded = model::Tokenizer::FromFile(SourceDir() + "/tests/golden/minicpmv/tokenizer.json");
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    tokenizer_ = *std::move(loaded);
  }

  std::vector<int32_t> Ids(const std::string& text) { return *tokenizer_->Encode(text, model::AddedTokens::kNone); }

  // What a client sees, piece by piece joined; stops as the pipeline does.
  std::string Show(const std::vector<int32_t>& ids, const std::vector<std::string>& stop) {
    TextStream stream(*tokenizer_, stop);
    std::string shown;
    for (int32_t id : ids) {
      shown += stream.Push(id);
      if (stream.stopped()) return shown;
    }
    return shown + stream.Flush();
  }

  std::unique_ptr<model::Tokenizer> tokenizer_;
};

TEST_F(TextStreamTest, WithoutStopStringsEverythingComes) {
  const std::string text = "Café naïve 你好 😀, and so on.";
  EXPECT_EQ(Show(Ids(text), {}), text);
}

TEST_F(TextStreamTest, CutsBeforeTheFirstStopString) {
  EXPECT_EQ(Show(Ids("one two three two"), {"two"}), "one ");
  EXPECT_EQ(Show(Ids("one two three"), {"three", "two"}), "one ");
  EXPECT_EQ(Show(Ids("one two"), {"one two three"}), "one two");
}

TEST_F(TextStreamTest, StopStringsMayOverlapThemselves) { EXPECT_EQ(Show(Ids("aaabx"), {"aab"}), "a"); }

TEST_F(TextStreamTest, StopStringInsideACharacterSequence) { EXPECT_EQ(Show(Ids("x😀y"), {"😀"}), "x"); }

TEST_F(TextStreamTest, HeldBackTextComesAtTheEnd) {
  TextStream stream(*tokenizer_, {"END"});
  std::string shown;
  for (int32_t id : Ids("text EN")) shown += stream.Push(id);
  EXPECT_EQ(shown.find("EN"), std::string::npos);
  EXPECT_EQ(shown + stream.Flush(), "text EN");
}

// Against the definition: of all occurrences of stop strings, the one that ends first (and of those the longest) is cut
// off with all that follows.
TEST_F(TextStreamTest, RandomTextsAgreeWithTheDefinition) {
  const uint64_t seed = SystemRandom().Next();
  SCOPED_TRACE(seed);
  SeededRandom random(seed);
  auto letters = [&random](size_t length_max) {
    std::string text;
    for (size_t i = 1 + random.Below(length_max); i > 0; --i) text += static_cast<char>('a' + random.Below(3));
    return text;
  };
  for (int i = 0; i < 2000; ++i) {
    const std::string text = letters(30);
    std::vector<std::string> stop;
    for (uint64_t n = random.Below(3); n > 0; --n) stop.push_back(letters(4));
    std::pair<size_t, size_t> first = {std::string::npos, std::string::npos};  // end, begin
    for (const std::string& one : stop) {
      const size_t begin = text.find(one);
      if (begin != std::string::npos) first = std::min(first, {begin + one.size(), begin});
    }
    const size_t cut = first.second;
    EXPECT_EQ(Show(Ids(text), stop), text.substr(0, cut)) << text;
  }
}

}  // namespace
}  // namespace headroom::gateway
