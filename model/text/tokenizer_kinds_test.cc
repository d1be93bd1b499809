// Tokenizers that are not byte-level, or not from a tokenizer.json alone. tests/tokenizer compares them with the
// reference libraries; here is what these do not say.
#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>

#include "common/testing/paths.h"
#include "model/text/chat_template.h"
#include "model/text/detokenizer.h"
#include "model/text/prompt.h"
#include "model/text/testing.h"
#include "model/text/tokenizer.h"

namespace headroom::model {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kCases = SourceDir() + "/tests/tokenizer/";
const std::string kSpace = "\u2581";

// Characters a to e, ▁, and bytes: <unk> 0, <s> 1, byte b at 2 + b, ▁ 258, a 259 …, ab 264, ▁ab 265.
json SentencePieceJson() {
  json vocab = {{"<unk>", 0}, {"<s>", 1}};
  for (int byte = 0; byte < 256; ++byte) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    vocab[std::string("<0x") + kDigits[byte / 16] + kDigits[byte % 16] + ">"] = 2 + byte;
  }
  for (const std::string& token : {kSpace, std::string("a"), std::string("b"), std::string("c"), std::string("d"),
                                   std::string("e"), std::string("ab"), kSpace + "ab"}) {
    vocab[token] = vocab.size();
  }
  const json decoders = {{{"type", "Replace"}, {"pattern", {{"String", kSpace}}}, {"content", " "}},
                         {{"type", "ByteFallback"}},
                         {{"type", "Fuse"}},
                         {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}};
  return {{"added_tokens", {AddedTokenJson(0, "<unk>"), AddedTokenJson(1, "<s>")}},
          {"normalizer", nullptr},
          {"pre_tokenizer",
           {{"type", "Metaspace"}, {"replacement", kSpace}, {"prepend_scheme", "first"}, {"split", false}}},
          {"decoder", {{"type", "Sequence"}, {"decoders", decoders}}},
          {"model",
           {{"type", "BPE"},
            {"vocab", vocab},
            {"merges", {"a b", kSpace + " ab"}},
            {"unk_token", "<unk>"},
            {"fuse_unk", true},
            {"byte_fallback", true}}}};
}

TEST(TokenizerKindsTest, IdsOfTheReference) {
  for (const char* kind : {"digits", "sentencepiece", "ranks"}) {
    const auto tokenizer = Tokenizer::FromDirectory(kCases + kind);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    const json cases = json::parse(ReadFileOrDie(kCases + kind + "/expected.json"));
    ASSERT_GE(cases.size(), 150u);
    for (const json& item : cases) {
      const auto ids = EncodeOrDie(**tokenizer, item["text"]);
      EXPECT_EQ(ids, item["ids"].get<std::vector<int32_t>>()) << kind << " " << item["text"];
      const std::string decoded = (*tokenizer)->Decode(ids, /*skip_special=*/false);
      EXPECT_EQ(decoded, item.value("decoded", decoded)) << kind;
    }
  }
}

// What prompts are made of: only what stands at the start of all gets the first space.
TEST(TokenizerKindsTest, FirstSpaceAtTheStartOnly) {
  const auto tokenizer = LoadOrDie(SentencePieceJson());
  EXPECT_THAT(EncodeOrDie(*tokenizer, "ab<s>ab"), ElementsAre(265, 1, 264));
  EXPECT_THAT(*tokenizer->Encode("ab", AddedTokens::kNone, /*at_start=*/false), ElementsAre(264));
  json always = SentencePieceJson();
  always["pre_tokenizer"]["prepend_scheme"] = "always";
  EXPECT_THAT(EncodeOrDie(*LoadOrDie(always), "ab<s>ab"), ElementsAre(265, 1, 265));
}

TEST(TokenizerKindsTest, CharactersOfNoEntry) {
  json file = SentencePieceJson();
  const std::string text = "a\u00e9\u00e8" + std::string("b");
  EXPECT_THAT(EncodeOrDie(*LoadOrDie(file), text), ElementsAre(258, 259, 2 + 0xC3, 2 + 0xA9, 2 + 0xC3, 2 + 0xA8, 260));
  file["model"]["byte_fallback"] = false;
  EXPECT_THAT(EncodeOrDie(*LoadOrDie(file), text), ElementsAre(258, 259, 0, 260));
  // The unknown token is special, and still what a user's text becomes.
  EXPECT_THAT(EncodeOrDie(*LoadOrDie(file), text, AddedTokens::kNone), ElementsAre(258, 259, 0, 260));
  file["model"]["fuse_unk"] = false;
  EXPECT_THAT(EncodeOrDie(*LoadOrDie(file), text), ElementsAre(258, 259, 0, 0, 260));
  file["model"]["unk_token"] = nullptr;
  EXPECT_THAT(EncodeOrDie(*LoadOrDie(file), text), ElementsAre(265));
}

// White space that was added to the vocabulary is part of what users say; a marker is not, special or not.
TEST(TokenizerKindsTest, AddedTokensThatAreText) {
  json file = SentencePieceJson();
  file["added_tokens"].push_back(AddedTokenJson(300, "\n\n", /*special=*/false));
  file["added_tokens"].push_back(AddedTokenJson(301, "<tool>", /*special=*/false));
  file["added_tokens"].push_back(AddedTokenJson(302, "\n", /*special=*/true));
  const auto tokenizer = LoadOrDie(file);
  EXPECT_THAT(EncodeOrDie(*tokenizer, "ab\n\nab", AddedTokens::kNone), ElementsAre(265, 300, 264));
  EXPECT_THAT(EncodeOrDie(*tokenizer, "\n", AddedTokens::kNone), ElementsAre(258, 2 + '\n'));
  EXPECT_FALSE(tokenizer->IsControl(300));
  EXPECT_TRUE(tokenizer->IsControl(301));
  EXPECT_TRUE(tokenizer->IsControl(302));
  for (const int32_t id : EncodeOrDie(*tokenizer, "<tool>\n<s>", AddedTokens::kNone)) {
    EXPECT_FALSE(tokenizer->IsAdded(id));
  }
}

TEST(TokenizerKindsTest, BytesAreTextOnlyTogether) {
  const auto tokenizer = LoadOrDie(SentencePieceJson());
  Detokenizer stream(tokenizer.get(), /*skip_special=*/true);
  std::vector<std::string> texts;
  for (int32_t id : {1, 265, 258, 2 + 0xC3, 2 + 0xA9, 259}) texts.push_back(stream.Add(id));
  EXPECT_THAT(texts, ElementsAre("", "ab", " ", "", "", "\u00e9a"));
  EXPECT_EQ(stream.Flush(), "");
  // One byte that does not fit takes the others with it, as in the reference; afterwards all starts afresh.
  texts.clear();
  for (int32_t id : {265, 2 + 0xC3, 2 + 0xA9, 2 + 0xFF}) texts.push_back(stream.Add(id));
  EXPECT_THAT(texts, ElementsAre("ab", "", "", ""));
  EXPECT_EQ(stream.Flush(), "\uFFFD\uFFFD\uFFFD");
}

// Every chain of decoders that loads gives, piece by piece, what it gives for all ids at once.
TEST(TokenizerKindsTest, StreamsEqualTheWhole) {
  const json replace = {{"type", "Replace"}, {"pattern", {{"String", "ab"}}}, {"content", "+"}};
  const json strip = {{"type", "Strip"}, {"content", "b"}, {"start", 2}, {"stop", 1}};
  const json fuse = {{"type", "Fuse"}};
  const json bytes = {{"type", "ByteFallback"}};
  const json metaspace = {{"type", "Metaspace"}, {"replacement", kSpace}, {"prepend_scheme", "always"}};
  auto generator = SeededGenerator();
  for (const json& chain : {json{replace, bytes, strip}, json{bytes, fuse, replace, strip}, json{metaspace, bytes},
                            json{fuse, metaspace, replace}, json{replace, {{"type", "ByteLevel"}}, strip, replace}}) {
    json file = SentencePieceJson();
    file["decoder"] = {{"type", "Sequence"}, {"decoders", chain}};
    const auto tokenizer = LoadOrDie(file);
    for (int i = 0; i < 2000; ++i) {
      std::vector<int32_t> ids(generator() % 12);
      for (int32_t& id : ids)
        id = static_cast<int32_t>(generator() % 2 == 0 ? 258 + generator() % 8 : generator() % 280);
      Detokenizer stream(tokenizer.get(), /*skip_special=*/false);
      std::string all;
      for (const int32_t id : ids) {
        const std::string piece = stream.Add(id);
        EXPECT_TRUE(IsValidUtf8(piece));
        all += piece;
      }
      EXPECT_EQ(all + stream.Flush(), tokenizer->Decode(ids, /*skip_special=*/false)) << chain;
    }
  }
}

TEST(TokenizerKindsTest, SettingsOfTrainersAreIgnored) {
  json file = SentencePieceJson();
  file["truncation"] = {{"direction", "Right"}, {"max_length", 1}, {"strategy", "LongestFirst"}, {"stride", 0}};
  file["padding"] = {{"strategy", {{"Fixed", 8}}}, {"pad_id", 0}, {"pad_token", "<unk>"}};
  EXPECT_THAT(EncodeOrDie(*LoadOrDie(file), "ab ab"), ElementsAre(265, 265));
}

TEST(TokenizerKindsTest, TokensAroundAText) {
  json file = SentencePieceJson();
  const json marker = {{"id", "<s>"}, {"ids", {1}}, {"tokens", {"<s>"}}};
  file["post_processor"] = {{"type", "Sequence"},
                            {"processors",
                             {{{"type", "ByteLevel"}, {"trim_offsets", true}},
                              {{"type", "TemplateProcessing"},
                               {"single", {{{"SpecialToken", {{"id", "<s>"}}}}, {{"Sequence", {{"id", "A"}}}}}},
                               {"special_tokens", {{"<s>", marker}}}},
                              {{"type", "RobertaProcessing"}, {"cls", {"<unk>", 0}}, {"sep", {"a", 259}}}}}};
  const auto tokenizer = LoadOrDie(file);
  EXPECT_THAT(tokenizer->surroundings().before, ElementsAre(0, 1));
  EXPECT_THAT(tokenizer->surroundings().behind, ElementsAre(259));
  EXPECT_THAT(EncodeOrDie(*tokenizer, "ab"), ElementsAre(265));
}

TEST(TokenizerKindsTest, TokensOfTheConfig) {
  const auto flags = [](const std::string& content, bool rstrip) {
    return json{{"content", content}, {"special", true}, {"normalized", false}, {"rstrip", rstrip}};
  };
  const json config = {{"added_tokens_decoder",
                        {{"1", flags("<s>", true)},       // a flag that tokenizer.json says otherwise
                         {"280", flags("<end>", false)},  // known to no other file
                         {"259", flags("<bad>", false)},  // the id of another token: left out
                         {"281", flags("ab", false)}}}};  // an entry with another id: left out
  const auto tokenizer = Tokenizer::FromJson(SentencePieceJson().dump(), config.dump());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->vocab_size(), 281);
  EXPECT_TRUE((*tokenizer)->TakesSpaceBehind(1));
  EXPECT_FALSE((*tokenizer)->TakesSpaceBefore(1));
  EXPECT_TRUE((*tokenizer)->IsSpecial(280));
  EXPECT_EQ((*tokenizer)->TokenId("<bad>"), std::nullopt);
  EXPECT_THAT(EncodeOrDie(**tokenizer, "<s>  ab<end>"), ElementsAre(1, 264, 280));
  for (const char* bad : {"[]", R"({"added_tokens_decoder": []})", R"({"added_tokens_decoder": {"x": {}}})",
                          R"({"added_tokens_decoder": {"5": {}}})", R"({"added_tokens_decoder": {"5": "<x>"}})",
                          R"({"added_tokens_decoder": {"2000000": {"content": "<x>"}}})"}) {
    EXPECT_EQ(Tokenizer::FromJson(SentencePieceJson().dump(), bad).status().code(), absl::StatusCode::kInvalidArgument)
        << bad;
  }
}

// As where the whole prompt is one string: Phi-3's markers take the newlines that its template writes behind them.
TEST(TokenizerKindsTest, MarkersTakeWhiteSpaceInPrompts) {
  json file = SmallTokenizerJson({}, ".");
  file["added_tokens"] = {AddedTokenJson(256, "<|im_start|>"), AddedTokenJson(257, "<|im_end|>")};
  file["added_tokens"][1]["lstrip"] = file["added_tokens"][1]["rstrip"] = true;
  const auto tokenizer = LoadOrDie(file);
  const auto chat = ChatTemplate::Create(
      {.name = "test",
       .jinja = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
                "'<|im_end|>' + "
                "'\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
       .tool_use = {},
       .special_tokens = {}});
  ASSERT_TRUE(chat.ok()) << chat.status();
  const auto builder = PromptBuilder::Create(tokenizer.get(), *chat, std::nullopt);
  ASSERT_TRUE(builder.ok()) << builder.status();
  const auto prompt = builder->Build({.messages = {{ChatRole::kUser, {" hi \u3000\n"}}}}, 1000);
  ASSERT_TRUE(prompt.ok()) << prompt.status();
  EXPECT_EQ(tokenizer->Decode(prompt->ids, /*skip_special=*/false),
            "<|im_start|>user\n hi<|im_end|><|im_start|>assistant\n");
}

TEST(TokenizerKindsTest, Ranks) {
  const json config = {{"tokenizer_class", "QWenTokenizer"}};
  // "a" "b" "ab" "c" "bc": ranks decide, not what comes first.
  const std::string ranks = "YQ== 0\nYg== 1\nYmM= 2\r\nYWI= 3\n\nYw== 4";
  const auto tokenizer = Tokenizer::FromTiktoken(ranks, config.dump());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_THAT(EncodeOrDie(**tokenizer, "abc ab"), ElementsAre(0, 2, 3));
  EXPECT_EQ((*tokenizer)->TokenId("<|im_end|>"), 7);
  EXPECT_EQ((*tokenizer)->vocab_size(), 5 + 208);
  for (const char* bad :
       {"", "YQ==", "YQ== x", "YQ== -1", "YQ== 1048576", "?? 1", " 1", "YQ== 1\nYg== 1", "YQ== 1 2"}) {
    EXPECT_EQ(Tokenizer::FromTiktoken(bad, config.dump()).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
  EXPECT_THAT(std::string(Tokenizer::FromTiktoken(ranks, R"({"tokenizer_class": "Some"})").status().message()),
              HasSubstr("TikTokenTokenizer, QWenTokenizer, ChatGLM4Tokenizer"));
}

TEST(TokenizerKindsTest, DirectoriesWithoutOne) {
  EXPECT_EQ(Tokenizer::FromDirectory(SourceDir() + "/tests/tokenizer").status().code(), absl::StatusCode::kNotFound);
}

// A text above this has more tokens for certain: with nothing that makes text vanish, that is the longest token.
TEST(TokenizerKindsTest, BoundOfATextByItsTokens) {
  json file = SentencePieceJson();
  EXPECT_EQ(LoadOrDie(file)->TextBytesMax(10), 60);
  EXPECT_EQ(LoadOrDie(file)->TextBytesMax(int64_t{1} << 60), static_cast<int64_t>(Tokenizer::kTextBytesMax));
  file["normalizer"] = {{"type", "Strip"}, {"strip_left", true}, {"strip_right", false}};
  EXPECT_EQ(LoadOrDie(file)->TextBytesMax(10), static_cast<int64_t>(Tokenizer::kTextBytesMax));
  file["normalizer"] = {{"type", "NFC"}};
  EXPECT_EQ(LoadOrDie(file)->TextBytesMax(10), 180);
  EXPECT_GT(LoadOrDie(file)->work_bytes_per_text_byte(), LoadOrDie(SentencePieceJson())->work_bytes_per_text_byte());
  file["model"]["byte_fallback"] = false;
  EXPECT_EQ(LoadOrDie(file)->TextBytesMax(10), static_cast<int64_t>(Tokenizer::kTextBytesMax));
}

}  // namespace
}  // namespace headroom::model
