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

TEST_F(TextStreamTest, NoStopStringBeforeThereAreEnoughTokens) {
  TextStream stream(*tokenizer_, {"two"}, 2);
  std::string shown;
  for (const int32_t id : Ids("one two two three")) shown += stream.Push(id);
  EXPECT_TRUE(stream.stopped());
  EXPECT_EQ(shown, "one two ");
}

// Tokens count as complete in the order in which their text comes out, those of one character together.
TEST_F(TextStreamTest, TokensAreCompleteWithTheirText) {
  for (const std::string& text :
       {std::string("Café naïve 你好 😀, and so on."), std::string("text EN"), std::string("E N D")}) {
    TextStream stream(*tokenizer_, {"END"});
    const std::vector<int32_t> ids = Ids(text);
    std::string shown, complete;
    size_t next = 0;
    const auto take = [&](const std::string& piece) {
      shown += piece;
      for (int64_t left = stream.TakeComplete(); left > 0; --left) complete += tokenizer_->TokenBytes(ids[next++]);
      // What tokens say is never ahead of the text.
      EXPECT_TRUE(shown.starts_with(complete)) << shown << " | " << complete;
    };
    for (const int32_t id : ids) take(stream.Push(id));
    take(stream.Flush());
    EXPECT_EQ(next, ids.size());
    EXPECT_EQ(complete, text);
  }
}

// A stop string may begin inside a token: that one counts, those behind it do not.
TEST_F(TextStreamTest, TokensThatAreCutOffAreNotComplete) {
  TextStream stream(*tokenizer_, {"wo thr"});
  const std::vector<int32_t> ids = Ids("one two three");
  std::string shown;
  for (const int32_t id : ids) shown += stream.Push(id);
  ASSERT_TRUE(stream.stopped());
  EXPECT_EQ(shown, "one t");
  const int64_t complete = stream.TakeComplete();
  std::string bytes;
  for (int64_t i = 0; i < complete; ++i) bytes += tokenizer_->TokenBytes(ids[static_cast<size_t>(i)]);
  EXPECT_TRUE(bytes.starts_with(shown)) << bytes;
  EXPECT_LT(bytes.size(), std::string("one two three").size());
  EXPECT_EQ(stream.Flush(), "");
  EXPECT_EQ(stream.TakeComplete(), 0);
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
